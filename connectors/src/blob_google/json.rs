//! The JSON API of Google Cloud Storage (v1, discovery revision 20241206), as far as the client does not reach.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use google_cloud_auth::credentials::CacheableResource;
use http::{Extensions, Method, StatusCode};
use leadline_schemas::Millis;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::identity::Identity;
use crate::contract::blob::{About, BlobError, Stat};
use crate::http_client::{builder, not_sent};

/// One request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How often one is sent in all; the pause between doubles (truncated exponential back-off, as Google asks for).
const ATTEMPTS_MAX: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Names of a page of a list: the most that the service gives.
const PAGE_MAX: usize = 1_000;

pub(super) struct Json {
    http: reqwest::Client,
    /// `.../storage/v1/b/BUCKET`.
    bucket: Url,
    identity: Arc<Identity>,
}

/// Status and body.
pub(super) type Answered = (StatusCode, Vec<u8>);

/// An object's metadata.
pub(super) struct Known {
    pub(super) stat: Stat,
    pub(super) generation: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    size: String,
    generation: String,
    crc32c: Option<String>,
    content_type: Option<String>,
    custom_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    #[serde(default)]
    items: Vec<Name>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

impl Json {
    pub(super) fn new(endpoint: &str, bucket: &str, identity: Arc<Identity>) -> Result<Self, String> {
        let wrong = || format!("{endpoint:?} with bucket {bucket:?} makes no address");
        let mut url = Url::parse(endpoint).map_err(|_| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(["storage", "v1", "b", bucket]);
        let http = builder().timeout(REQUEST_TIMEOUT).build().map_err(|error| error.to_string())?;
        Ok(Self { http, bucket: url, identity })
    }

    /// What is known of an object; none where there is none.
    pub(super) async fn object(&self, name: &str) -> Result<Option<Known>, BlobError> {
        let fields = [("fields", "size,generation,crc32c,contentType,customTime")];
        let Some(object) = self.ask::<Object>(Method::GET, self.url(Some(name), &fields)?, None).await?
        else {
            return Ok(None);
        };
        let odd = |what: &str| BlobError::Unavailable(format!("{name}: the service told no {what}"));
        let crc32c = object.crc32c.and_then(|sum| STANDARD.decode(sum).ok()?.try_into().ok());
        let about = About {
            content_type: object.content_type.unwrap_or_else(|| About::default().content_type),
            // Servers for tests tell the year 1 for none.
            custom_time: object.custom_time.as_deref().and_then(Millis::parse).filter(|time| time.0 > 0),
        };
        let stat = Stat {
            bytes: object.size.parse().map_err(|_| odd("size"))?,
            crc32c: u32::from_be_bytes(crc32c.ok_or_else(|| odd("CRC32C"))?),
            about,
        };
        Ok(Some(Known { stat, generation: object.generation.parse().map_err(|_| odd("generation"))? }))
    }

    /// The first names with this prefix behind `after`.
    pub(super) async fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Result<Vec<String>, BlobError> {
        let (mut names, mut token): (Vec<String>, Option<String>) = (Vec::new(), None);
        loop {
            // One more than asked for: a list begins at a name, not behind it.
            let most = count_max.saturating_sub(names.len()).saturating_add(1).min(PAGE_MAX).to_string();
            let mut query =
                vec![("prefix", prefix), ("maxResults", &most), ("fields", "items(name),nextPageToken")];
            query.extend(after.map(|after| ("startOffset", after)));
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let mut url = self.url(None, &query)?;
            url.path_segments_mut().map_err(|()| no_url())?.push("o");
            let page = self.ask::<Names>(Method::GET, url, None).await?;
            let page = page.ok_or_else(|| BlobError::Unavailable("there is no such bucket".to_owned()))?;
            let behind = page.items.into_iter().map(|item| item.name);
            names.extend(behind.filter(|name| after.is_none_or(|after| name.as_str() > after)));
            token = page.next_page_token.filter(|token| !token.is_empty());
            if names.len() >= count_max || token.is_none() {
                names.truncate(count_max);
                return Ok(names);
            }
        }
    }

    /// Removes one generation; false when there is another by now.
    pub(super) async fn remove(&self, name: &str, generation: i64) -> Result<bool, BlobError> {
        let generation = generation.to_string();
        let url = self.url(Some(name), &[("ifGenerationMatch", &generation)])?;
        match self.send(Method::DELETE, url, None).await? {
            (StatusCode::PRECONDITION_FAILED, _) => Ok(false),
            (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(true),
            (status, body) => Err(refused(status, &body)),
        }
    }

    /// The bucket's own resource; none where there is no such bucket.
    pub(super) async fn bucket(&self) -> Result<Option<Value>, BlobError> {
        self.ask(Method::GET, self.url(None, &[("projection", "noAcl")])?, None).await
    }

    /// What the service answers to a list of one name; asked once.
    pub(super) async fn first_name(&self) -> Result<Answered, BlobError> {
        let mut url = self.url(None, &[("maxResults", "1"), ("fields", "items(name)")])?;
        url.path_segments_mut().map_err(|()| no_url())?.push("o");
        self.send_once(self.http.get(url), None).await
    }

    /// What the service answers to whether these are permitted; asked once.
    pub(super) async fn permissions(&self, wanted: &[&str]) -> Result<Answered, BlobError> {
        let wanted: Vec<(&str, &str)> = wanted.iter().map(|name| ("permissions", *name)).collect();
        let mut url = self.url(None, &wanted)?;
        url.path_segments_mut().map_err(|()| no_url())?.extend(["iam", "testPermissions"]);
        self.send_once(self.http.get(url), None).await
    }

    /// Changes the bucket, if it is still as it was.
    pub(super) async fn patch_bucket(
        &self,
        metageneration: &str,
        change: &Value,
    ) -> Result<Value, BlobError> {
        let url = self.url(None, &[("ifMetagenerationMatch", metageneration), ("projection", "noAcl")])?;
        let changed = self.ask(Method::PATCH, url, Some(change)).await?;
        changed.ok_or_else(|| BlobError::Unavailable("there is no such bucket".to_owned()))
    }

    fn url(&self, object: Option<&str>, query: &[(&str, &str)]) -> Result<Url, BlobError> {
        let mut url = self.bucket.clone();
        if let Some(object) = object {
            url.path_segments_mut().map_err(|()| no_url())?.extend(["o", object]);
        }
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Option<T>, BlobError> {
        match self.send(method, url, body).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) if status.is_success() => {
                serde_json::from_slice(&body).map(Some).map_err(|error| {
                    BlobError::Unavailable(format!("the service's answer cannot be read: {error}"))
                })
            }
            (status, body) => Err(refused(status, &body)),
        }
    }

    /// Sends until there is an answer that sending again does not change. Every request here has a precondition or
    /// changes nothing.
    async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answered, BlobError> {
        let mut pause = PAUSE_FIRST;
        for attempt in 1.. {
            let request = self.http.request(method.clone(), url.clone());
            let answer = self.send_once(request, body).await;
            let passes = match &answer {
                Ok((status, _)) => may_pass(*status),
                Err(_) => true,
            };
            if !passes || attempt >= ATTEMPTS_MAX {
                return answer;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(no_url())
    }

    async fn send_once(
        &self,
        mut request: RequestBuilder,
        body: Option<&Value>,
    ) -> Result<Answered, BlobError> {
        let failed = |why: String| BlobError::Unavailable(why);
        if let Some(body) = body {
            request = request.json(body);
        }
        let headers = self.identity.credentials()?.headers(Extensions::new()).await;
        let headers = headers.map_err(|error| failed(format!("no credentials: {error}")))?;
        if let CacheableResource::New { data, .. } = headers {
            request = request.headers(data);
        }
        let broken = |error: reqwest::Error| {
            failed(format!("{}: {}", self.bucket.origin().ascii_serialization(), not_sent(&error)))
        };
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let body = response.bytes().await.map_err(broken)?;
        Ok((status, body.to_vec()))
    }
}

fn no_url() -> BlobError {
    BlobError::Unavailable("the endpoint makes no address".to_owned())
}

/// Whether an error may be over when it is asked again.
pub(super) fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}

fn refused(status: StatusCode, body: &[u8]) -> BlobError {
    BlobError::Unavailable(format!("the service answered {}", quoted(status, body)))
}

/// An error's status and the beginning of its words.
pub(super) fn quoted(status: StatusCode, body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    format!("{status}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}
