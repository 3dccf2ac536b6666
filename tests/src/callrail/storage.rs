//! Recordings: links that expire, and the storage that they redirect to.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};

use super::state::State;
use super::{Asking, plain};

impl State {
    /// A link as webhooks and the API give them out.
    pub(crate) fn new_link(&mut self, call: &str) -> String {
        let key = format!("{:020x}", self.number());
        self.links.insert(key.clone(), call.to_owned());
        format!("{}/calls/{call}/recording/redirect?access_key={key}", self.base())
    }

    /// An address of the storage, signed.
    pub(crate) fn storage_link(&mut self, call: &str) -> String {
        let key = format!("{:020x}", self.number());
        self.links.insert(key.clone(), call.to_owned());
        format!("http://{}/recordings/{call}.mp3?X-Amz-Signature={key}", self.storage)
    }

    /// `/calls/{call}/recording/redirect?access_key=...`.
    pub(crate) fn link(&mut self, asking: &Asking) -> Response<Body> {
        let path = format!("/{}", asking.path.join("/"));
        let call = asking.path.get(1).cloned().unwrap_or_default();
        let is_good = asking.path.len() == 4
            && asking.parameter("access_key").is_some_and(|key| self.links.get(key) == Some(&call));
        if !is_good {
            self.note(asking, &path, 404);
            return plain(404, b"{\"error\":\"Not found\"}".to_vec());
        }
        let to = self.redirect_to.clone().unwrap_or_else(|| self.storage_link(&call));
        self.note(asking, &path, 302);
        Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, to)
            .body(Body::empty())
            .unwrap()
    }

    /// `/recordings/{call}.mp3?X-Amz-Signature=...`.
    pub(crate) fn stored(&mut self, asking: &Asking) -> Response<Body> {
        let path = format!("/{}", asking.path.join("/"));
        let call = asking.parameter("X-Amz-Signature").and_then(|key| self.links.get(key).cloned());
        let audio = call.and_then(|call| self.find(&call)?.audio.clone());
        // The real one refuses two ways of showing who one is; here it also says that a key has leaked.
        let status = match (asking.headers.contains_key("authorization"), &audio) {
            (true, _) => 400,
            (false, Some(_)) => 200,
            (false, None) => 403,
        };
        self.note(asking, &path, status);
        match audio.filter(|_| status == 200) {
            Some(audio) => Response::builder()
                .header(header::CONTENT_TYPE, "audio/mpeg")
                .body(Body::from(audio))
                .unwrap(),
            None => plain(status, b"<Error/>".to_vec()),
        }
    }
}
