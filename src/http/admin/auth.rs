//! Who may use the admin plane: bearers of the admin token, and browsers that signed in with it.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tollgate_core::key::hashes_equal;

use super::{Access, AdminState, problem::Problem};

const COOKIE: &str = "tollgate_admin";
/// Signed in for so long.
const COOKIE_SECONDS: u32 = 12 * 3600;

/// Lets a request through, or says how to get in.
pub(super) async fn require(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let Access::Token(token) = access.as_ref() else { return next.run(request).await };
    let headers = request.headers();
    if let Some(bearer) = bearer(headers) {
        if equal(bearer, token) {
            return next.run(request).await;
        }
    } else if let Some(session) = cookie(headers)
        && equal(session, &session_of(token))
        // A browser sends the cookie of its own accord: it may read, and change nothing.
        && matches!(*request.method(), Method::GET | Method::HEAD)
    {
        return next.run(request).await;
    }
    if request.uri().path() == "/" {
        return sign_in_or_form(token, request.uri().query()).into_response();
    }
    let problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send the admin token: `Authorization: Bearer <token>`; it is in the file admin-token of the data folder",
    );
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

/// `/sign-in`, where a browser shows the token once and gets a cookie.
pub(super) fn sign_in_routes(access: Access) -> Router<AdminState> {
    let access = Arc::new(access);
    let take = move |Form(form): Form<SignIn>| async move {
        match access.as_ref() {
            Access::Token(token) if equal(form.token.trim(), token) => welcome(token),
            Access::Trusted => Redirect::to("/").into_response(),
            Access::Token(_) => {
                (StatusCode::UNAUTHORIZED, Html(form_page("That is not the admin token."))).into_response()
            }
        }
    };
    Router::new().route("/sign-in", get(|| async { Html(form_page("")) }).post(take))
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// `/?token=…`, as printed at start, signs in and leaves the address bar without it.
fn sign_in_or_form(token: &str, query: Option<&str>) -> Response {
    let shown = query.and_then(|query| Query::<SignIn>::try_from_uri(&format!("/?{query}").parse().ok()?).ok());
    match shown {
        Some(Query(shown)) if equal(shown.token.trim(), token) => welcome(token),
        Some(_) => (StatusCode::UNAUTHORIZED, Html(form_page("That is not the admin token."))).into_response(),
        None => (StatusCode::UNAUTHORIZED, Html(form_page(""))).into_response(),
    }
}

fn welcome(token: &str) -> Response {
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_SECONDS}", session_of(token));
    let mut response = Redirect::to("/").into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

fn form_page(error: &str) -> String {
    let error = if error.is_empty() { String::new() } else { format!("<p class=\"bad\">{error}</p>") };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tollgate</title><link rel=\"stylesheet\" href=\"/style.css\">\
         <main class=\"narrow\"><h1>Tollgate</h1><p>Sign in with the admin token; it is in the file <code>admin-token</code> of the data folder.</p>{error}\
         <form method=\"post\" action=\"/sign-in\"><label>Admin token <input type=\"password\" name=\"token\" autofocus></label> <button>Sign in</button></form></main></html>"
    )
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// What the cookie holds: follows from the token, does not give it away, and dies with it.
fn session_of(token: &str) -> String {
    hex::encode(Sha256::digest(format!("tollgate admin session {token}")))
}

/// In constant time, whatever the lengths.
fn equal(a: &str, b: &str) -> bool {
    hashes_equal(&Sha256::digest(a).into(), &Sha256::digest(b).into())
}
