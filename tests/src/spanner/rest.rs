//! The admin's REST, as far as schemas go: databases are made, their tables changed and shown. All at once: what takes
//! long elsewhere is an operation that is done already.

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::server::Server;

pub(super) async fn answer(
    server: &Server,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let done = route(server, method.as_str(), path.trim_start_matches("/v1/"), &body).await;
    let (status, answer) = match done {
        Ok(answer) => (200, answer),
        Err(status) => {
            let (number, name) = match status.code() {
                Code::NotFound => (404, "NOT_FOUND"),
                Code::AlreadyExists => (409, "ALREADY_EXISTS"),
                Code::Unimplemented => (501, "UNIMPLEMENTED"),
                Code::FailedPrecondition => (400, "FAILED_PRECONDITION"),
                Code::InvalidArgument => (400, "INVALID_ARGUMENT"),
                _ => (500, "INTERNAL"),
            };
            (number, json!({"error": {"code": number, "message": status.message(), "status": name}}))
        }
    };
    let response = hyper::Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(answer.to_string())).unwrap()
}

async fn route(server: &Server, method: &str, path: &str, body: &Value) -> Result<Value, Status> {
    if let (Some(instance), "POST") = (path.strip_suffix("/databases"), method) {
        let statement = body["createStatement"].as_str().unwrap_or_default();
        let name = statement.strip_prefix("CREATE DATABASE `").and_then(|rest| rest.strip_suffix('`'));
        let name = name.ok_or_else(|| Status::invalid_argument(format!("Syntax error: {statement}")))?;
        let database = format!("{instance}/databases/{name}");
        server.create_database(&database).await?;
        let kind = "type.googleapis.com/google.spanner.admin.database.v1.Database";
        return Ok(done(&database, json!({"@type": kind, "name": database})));
    }
    match (path.strip_suffix("/ddl"), method) {
        (Some(database), "PATCH") => {
            let statements = body["statements"].as_array().cloned().unwrap_or_default();
            let statements: Vec<String> =
                statements.iter().filter_map(|statement| Some(statement.as_str()?.to_owned())).collect();
            if statements.is_empty() {
                return Err(Status::invalid_argument("there is no statement"));
            }
            server.update_ddl(database, &statements).await?;
            Ok(done(database, json!({"@type": "type.googleapis.com/google.protobuf.Empty"})))
        }
        (Some(database), "GET") => {
            let statements = server.database(database)?.statements.lock().unwrap().clone();
            Ok(json!({"statements": statements}))
        }
        _ => Err(Status::unimplemented(format!("this front has no {method} {path}"))),
    }
}

fn done(database: &str, response: Value) -> Value {
    json!({"name": format!("{database}/operations/done"), "done": true, "response": response})
}
