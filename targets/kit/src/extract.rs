//! Extractors like axum's, whose refusals are [`ApiError`]s: always JSON, always with the reason.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::ApiError;

/// A JSON body. Too long is 413, anything that does not parse as `T` is 400. The content type is not
/// looked at. How long a body may be is the router's [`axum::extract::DefaultBodyLimit`].
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state).await.map_err(refuse_body)?;
        serde_json::from_slice(&body)
            .map(Json)
            .map_err(|why| ApiError::malformed(format!("the body is not what was expected: {why}")))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn refuse_body(rejection: BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("the body is too long"),
        _ => ApiError::malformed(rejection.body_text()),
    }
}

/// The parameters in the path; what does not parse is 400.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Path(value))
            .map_err(|why| ApiError::malformed(why.body_text()))
    }
}

/// The parameters behind the question mark; what does not parse is 400.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|why| ApiError::malformed(why.body_text()))
    }
}
