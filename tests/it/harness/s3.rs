//! S3 in this process.

use std::net::TcpListener;
use std::path::Path;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::runtime::Runtime;

pub(crate) const KEY: &str = "test-key";
pub(crate) const SECRET: &str = "test-secret";

/// An S3 server with one bucket, on a thread that ends with the process. As stores do, it finishes a request whose client is gone: half a
/// completion would leave an upload that can neither be aborted nor completed.
pub(crate) fn serve_s3(root: &Path) -> u16 {
    std::fs::create_dir(root.join("bucket")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let service = service.clone();
                        let answer =
                            tokio::spawn(
                                async move { service.call(request.map(Body::from)).await },
                            );
                        async { answer.await.unwrap() }
                    });
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
    });
    port
}

/// The environment that leads there.
pub(crate) fn variables(port: u16, secret: &str) -> [(String, String); 4] {
    [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
