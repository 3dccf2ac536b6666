//! The three ways in which a form travels.

use bytes::Bytes;
use leadline_schemas::forms::{self, FormError};

use super::limits::FORM_FIELDS_MAX;
use super::problem::Problem;

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// A form's fields, and the body as it is kept.
#[derive(Debug)]
pub(super) struct FormBody {
    /// In the order of the form.
    pub(super) pairs: Vec<(String, String)>,
    /// What `raw` is.
    pub(super) media_type: &'static str,
    /// As it came; of a multipart form its fields, urlencoded, because the dataflow takes no uploads.
    pub(super) raw: Bytes,
}

impl FormBody {
    pub(super) async fn read(content_type: &str, raw: Bytes) -> Result<Self, Problem> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let body = if media_type.eq_ignore_ascii_case("multipart/form-data") {
            let pairs = multipart(content_type, raw).await?;
            let encoded = serde_urlencoded::to_string(&pairs);
            let raw = encoded.map_err(|error| malformed(error.to_string()))?.into();
            Self { pairs, media_type: URLENCODED, raw }
        } else {
            let pairs = forms::pairs(content_type, &raw)?;
            let is_json = media_type.eq_ignore_ascii_case("application/json");
            Self { pairs, media_type: if is_json { "application/json" } else { URLENCODED }, raw }
        };
        if body.pairs.len() > FORM_FIELDS_MAX {
            return Err(malformed(format!("a form has at most {FORM_FIELDS_MAX} fields")));
        }
        Ok(body)
    }

    /// Whether a field is filled.
    pub(super) fn has(&self, field: &str) -> bool {
        self.pairs.iter().any(|(name, value)| name == field && !value.trim().is_empty())
    }
}

fn malformed(why: String) -> Problem {
    FormError::Malformed { why }.into()
}

/// The fields of a multipart form. Of a file its name is kept; files themselves are not taken.
async fn multipart(content_type: &str, raw: Bytes) -> Result<Vec<(String, String)>, Problem> {
    let unreadable = |error: multer::Error| malformed(error.to_string());
    let boundary = multer::parse_boundary(content_type).map_err(unreadable)?;
    let whole = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(raw) });
    let mut form = multer::Multipart::new(whole, boundary);
    let mut pairs = Vec::new();
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if pairs.len() >= FORM_FIELDS_MAX {
            return Err(malformed(format!("a form has at most {FORM_FIELDS_MAX} fields")));
        }
        let value = match field.file_name().map(str::to_owned) {
            Some(file_name) => file_name,
            None => field.text().await.map_err(unreadable)?,
        };
        pairs.push((name, value));
    }
    Ok(pairs)
}
