//! Web forms of a tenant.

use leadline_schemas::settings::{Form, Settings, Tenant};

use super::{AdminError, TenantSpec, invalid, named};

/// Our fields that a form may call otherwise.
const FIELDS: [&str; 4] = ["name", "email", "phone", "message"];
/// Longest key of a form; it stands in its address.
const KEY_CHARS_MAX: usize = 64;

/// Adds the forms that are named, or changes those that are there; what is not given stays.
pub(super) fn add(settings: &Settings, spec: &TenantSpec, tenant: &mut Tenant) -> Result<(), AdminError> {
    let details =
        !spec.form_origins.is_empty() || spec.form_honeypot.is_some() || !spec.form_fields.is_empty();
    if details && spec.forms.is_empty() {
        return Err(invalid("origins, honeypot and fields belong to a form: name it with --form KEY"));
    }
    for form_key in &spec.forms {
        check_key(settings, tenant, form_key)?;
        let known = tenant.forms.iter().position(|form| form.form_key == *form_key);
        let mut form = match known {
            Some(at) => tenant.forms.remove(at),
            None => Form {
                form_key: form_key.clone(),
                origins: Vec::new(),
                honeypot: None,
                field_map: Default::default(),
            },
        };
        if !spec.form_origins.is_empty() {
            form.origins = spec.form_origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
        }
        if let Some(honeypot) = &spec.form_honeypot {
            form.honeypot = Some(named("honeypot", honeypot)?);
        }
        for pair in &spec.form_fields {
            let (ours, theirs) = field(pair)?;
            form.field_map.insert(ours, theirs);
        }
        tenant.forms.push(form);
    }
    tenant.forms.sort_by(|one, other| one.form_key.cmp(&other.form_key));
    Ok(())
}

fn check_key(settings: &Settings, tenant: &Tenant, key: &str) -> Result<(), AdminError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(is_plain) {
        return Err(invalid(format!(
            "form key {key:?} is not valid: use 1 to {KEY_CHARS_MAX} letters, digits, '-' and '_'; it stands in the form's address"
        )));
    }
    match settings.by_form_key(key).filter(|owner| owner.tenant != tenant.tenant) {
        // Whose it is stays with them.
        Some(_) => {
            Err(invalid(format!("form key {key:?} is taken: choose another, best one that nobody guesses")))
        }
        None => Ok(()),
    }
}

/// An origin as browsers send it: scheme, host and port, nothing behind them.
fn origin(text: &str) -> Result<String, AdminError> {
    let wrong = || invalid(format!("origin {text:?} is not valid: use one such as https://www.example.com"));
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    let rest = url.path().len() > 1 || url.query().is_some() || url.fragment().is_some();
    if rest || !["http", "https"].contains(&url.scheme()) { Err(wrong()) } else { Ok(origin) }
}

fn field(pair: &str) -> Result<(String, String), AdminError> {
    let wrong = || {
        invalid(format!(
            "field {pair:?} is not valid: use OURS=THEIRS, ours being one of {}",
            FIELDS.join(", ")
        ))
    };
    let (ours, theirs) = pair.split_once('=').ok_or_else(wrong)?;
    if !FIELDS.contains(&ours) || theirs.trim().is_empty() {
        return Err(wrong());
    }
    Ok((ours.to_owned(), theirs.trim().to_owned()))
}
