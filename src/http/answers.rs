//! What answers the requests of a connection, whoever serves it.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use futures_util::future::BoxFuture;
use tower::ServiceExt;

/// One plane's way from a request to its answer.
pub trait Answers: Clone + Send + 'static {
    /// Answers one.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

impl Answers for Router {
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let answered = self.clone().oneshot(request);
        Box::pin(async move { answered.await.unwrap_or_else(|never: Infallible| match never {}) })
    }
}
