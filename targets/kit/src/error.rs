//! The one shape of every error answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// An error answer: a status code, a reason, and whether the request certainly had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status code.
    pub status: StatusCode,
    /// Why, for the caller.
    pub reason: String,
    /// The request certainly had no effect. If false, a mutation may have happened, or may yet happen.
    pub definite: bool,
}

impl ApiError {
    /// Any 4xx: the request was refused before anything was done, so it is definite.
    pub fn refused(status: StatusCode, reason: impl Into<String>) -> Self {
        debug_assert!(status.is_client_error());
        ApiError { status, reason: reason.into(), definite: true }
    }

    /// 400, definite: the request is malformed.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, reason)
    }

    /// 409, definite: the request contradicts something already done.
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::refused(StatusCode::CONFLICT, reason)
    }

    /// 413, definite: the request, or what it adds to, is too large.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    /// 429, definite: a queue is full.
    pub fn busy(reason: impl Into<String>) -> Self {
        Self::refused(StatusCode::TOO_MANY_REQUESTS, reason)
    }

    /// 503, definite: the node cannot answer safely and certainly did nothing.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        ApiError { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into(), definite: true }
    }

    /// 504, not definite: the mutation may have been done, in part or in whole, or may be done later.
    pub fn maybe_done(reason: impl Into<String>) -> Self {
        ApiError { status: StatusCode::GATEWAY_TIMEOUT, reason: reason.into(), definite: false }
    }

    /// 500, not definite: the node itself failed half way.
    pub fn internal(reason: impl Into<String>) -> Self {
        ApiError { status: StatusCode::INTERNAL_SERVER_ERROR, reason: reason.into(), definite: false }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.reason, "definite": self.definite });
        (self.status, Json(body)).into_response()
    }
}
