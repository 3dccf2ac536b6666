//! The wire: gRPC over HTTP/2 and REST on one port, and connections that can be cut.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use googleapis_tonic_google_spanner_v1::google::spanner::v1 as spanner;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::commit::Answered;
use super::rest;
use super::server::Server;

/// A commit may have 100 MB, and base64 makes a third more of it.
const MESSAGE_BYTES_MAX: usize = 160 << 20;

/// Serves until the runtime ends.
pub(super) async fn serve(server: Arc<Server>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (server, cut) = (Arc::clone(&server), Arc::new(Notify::new()));
        tokio::spawn(async move {
            let heard = Arc::clone(&cut);
            let service = service_fn(move |request| {
                let (server, cut) = (Arc::clone(&server), Arc::clone(&heard));
                async move { Ok::<_, Infallible>(answer(server, cut, request).await) }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().max_frame_size(1 << 20).initial_connection_window_size(16 << 20);
            builder.http2().initial_stream_window_size(16 << 20);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = cut.notified() => {}
            }
        });
    }
}

async fn answer(
    server: Arc<Server>,
    cut: Arc<Notify>,
    request: hyper::Request<Incoming>,
) -> hyper::Response<Body> {
    let is_grpc = request
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return rest::answer(&server, request)
            .await
            .map(|body| Body::new(body.map_err(|never| match never {})));
    }
    let name =
        request.uri().path().strip_prefix("/google.spanner.v1.Spanner/").unwrap_or_default().to_owned();
    match name.as_str() {
        "CreateSession" => unary(request, async move |asked| server.create_session(asked)).await,
        "GetSession" => unary(request, async move |asked| server.get_session(asked)).await,
        "BeginTransaction" => unary(request, async move |asked| begin(&server, asked).await).await,
        "Commit" => unary(request, async move |asked| commit(&server, &cut, asked).await).await,
        "Rollback" => unary(request, async move |asked| server.rollback(asked).await).await,
        "ExecuteStreamingSql" => stream(request, async move |asked| server.execute(asked).await).await,
        "StreamingRead" => stream(request, async move |asked| server.read(asked).await).await,
        _ => Status::unimplemented(format!("this front has no {name}")).into_http(),
    }
}

async fn begin(
    server: &Server,
    asked: spanner::BeginTransactionRequest,
) -> Result<spanner::Transaction, Status> {
    let begun = server.begin(&asked.session, asked.options.as_ref()).await?;
    let precommit_token = Some(begun.next_token());
    Ok(spanner::Transaction { id: begun.id.clone(), precommit_token, ..Default::default() })
}

async fn commit(
    server: &Server,
    cut: &Notify,
    asked: spanner::CommitRequest,
) -> Result<spanner::CommitResponse, Status> {
    let bytes = asked.encoded_len();
    match server.commit(asked, bytes).await {
        Answered::Said(answer) => answer,
        Answered::Cut => {
            cut.notify_one();
            std::future::pending().await
        }
    }
}

async fn unary<Q, A, F>(request: hyper::Request<Incoming>, call: impl FnOnce(Q) -> F) -> hyper::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, Status>>,
{
    let mut call = Some(call);
    let service = tower::service_fn(move |asked: Request<Q>| {
        let answer = call.take().map(|call| call(asked.into_inner()));
        async move {
            match answer {
                Some(answer) => answer.await.map(Response::new),
                None => Err(Status::internal("a request is answered once")),
            }
        }
    });
    let codec = ProstCodec::<A, Q>::default();
    Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).unary(service, request).await
}

async fn stream<Q, F>(request: hyper::Request<Incoming>, call: impl FnOnce(Q) -> F) -> hyper::Response<Body>
where
    Q: Message + Default + 'static,
    F: Future<Output = Result<Vec<spanner::PartialResultSet>, Status>>,
{
    let mut call = Some(call);
    let service = tower::service_fn(move |asked: Request<Q>| {
        let answer = call.take().map(|call| call(asked.into_inner()));
        async move {
            match answer {
                Some(answer) => answer.await.map(|sets| {
                    Response::new(futures_util::stream::iter(sets.into_iter().map(Ok::<_, Status>)))
                }),
                None => Err(Status::internal("a request is answered once")),
            }
        }
    });
    let codec = ProstCodec::<spanner::PartialResultSet, Q>::default();
    Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX).server_streaming(service, request).await
}
