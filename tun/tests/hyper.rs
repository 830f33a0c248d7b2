//! A program of others runs over the streams as it is: hyper, client and server.

mod common;

use bytes::Bytes;
use common::{net, pattern, server_addr};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;

#[tokio::test(start_paused = true)]
async fn hyper_client_and_server() {
    let net = net(2);
    let listener = net.listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body = [body, Bytes::from(pattern(700_000))].concat();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    let stream = net.client.connect(server_addr()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // Several requests over one connection, one after the other.
    for size in [0, 10, 300_000] {
        let body = pattern(size);
        let request = Request::post("/")
            .header("host", "example")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert!(answer[..size] == body && answer[size..] == pattern(700_000));
    }
}
