//! The data plane: what applications call, in the dialect of their SDK.

mod incoming;
mod models;
mod objects;
mod presented_key;
mod usage;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{FromRef, FromRequestParts, Path, State},
    http::{HeaderMap, Method, Request, Response, StatusCode, header, request::Parts},
    routing::{MethodRouter, get, post},
};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tollgate_core::id::RequestId;

use self::presented_key::{parameter, presented_key};
use super::{
    answers::Answers,
    errors::{self, Surface},
};
use crate::{
    admission::{
        gate::{Entered, LimitsView},
        refusal::Refusal,
    },
    config::dialect::ProviderDialect,
    objects::{Objects, Owner},
    proxy::{Answer, Inbound, Proxy, error::ProxyError},
    store::Store,
    upstream::{
        endpoint::{Endpoint, ModelPlace},
        request::Request as ModelRequest,
        target::{GEMINI_VERSIONS, Variant},
    },
};

const NOT_TEXT: &str = "Unknown request URL: its path is not UTF-8.";

type Routes = Router<Plane>;

/// What the routes work on.
#[derive(Clone)]
struct Plane {
    proxy: Arc<Proxy>,
    objects: Arc<Objects>,
    /// For what customers ask of their own figures; nothing on a request's way waits for it.
    store: Store,
}

impl FromRef<Plane> for Arc<Proxy> {
    fn from_ref(plane: &Plane) -> Self {
        Self::clone(&plane.proxy)
    }
}

/// What stands in a path, which is none of ours when that is no text.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Plane> for InPath<T> {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, plane: &Plane) -> Result<Self, Self::Rejection> {
        match Path::from_request_parts(parts, plane).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(unrouted(&plane.proxy, parts.uri.path(), (StatusCode::NOT_FOUND, NOT_TEXT, "unknown_url"))),
        }
    }
}

/// What answers on the data plane.
#[derive(Clone)]
pub struct DataPlane {
    proxy: Arc<Proxy>,
    objects: Arc<Objects>,
    /// Paths that are called as they stand, nothing in them but names of ours. They carry the load.
    called: Arc<[(&'static str, Endpoint)]>,
    /// For all else.
    router: Router,
}

impl DataPlane {
    /// Puts it together.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, objects: Arc<Objects>, store: Store) -> Self {
        let called = in_body().map(|endpoint| (endpoint.path(), endpoint)).collect();
        let router = router(Plane { proxy: Arc::clone(&proxy), objects: Arc::clone(&objects), store });
        Self { proxy, objects, called, router }
    }
}

impl Answers for DataPlane {
    /// As the router does, and past it where the path says all that the router would find out, which costs a twentieth of a request.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let path = request.uri().path();
        let called = self.called.iter().find(|(known, _)| *known == path).filter(|_| request.method() == Method::POST);
        let Some((_, endpoint)) = called else {
            return self.router.answer(request);
        };
        let (proxy, objects) = (Arc::clone(&self.proxy), Arc::clone(&self.objects));
        Box::pin(answer(proxy, objects, *endpoint, Called::default(), request))
    }
}

fn in_body() -> impl Iterator<Item = Endpoint> {
    Endpoint::ALL.into_iter().filter(|endpoint| endpoint.shape().model == ModelPlace::Body)
}

fn router(plane: Plane) -> Router {
    let routes =
        in_body().fold(Router::new(), |routes: Routes, endpoint| routes.route(endpoint.path(), call(endpoint)));
    let bedrock = |endpoint: &Endpoint| endpoint.dialect() == ProviderDialect::Bedrock;
    let routes = Endpoint::ALL
        .into_iter()
        .filter(bedrock)
        .fold(routes, |routes: Routes, endpoint| routes.route(endpoint.path(), call_with_model(endpoint)));
    let routes = GEMINI_VERSIONS.iter().fold(routes, |routes: Routes, version| {
        let call = post(move |State(plane): State<Plane>, InPath(called): InPath<String>, request: Request<Body>| {
            call_gemini(plane, version, called, request)
        });
        let routes = routes.route(&format!("{version}/models/{{*id}}"), call);
        // There OpenAI's form is the one that is read.
        if *version == "/v1" {
            return routes;
        }
        routes
            .route(&format!("{version}/models"), get(models::gemini))
            .route(&format!("{version}/models/{{*id}}"), get(models::show_gemini))
    });
    routes
        .route("/v1/interactions", post(call_interactions))
        .route("/api/tags", get(models::ollama))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .route("/v1/usage", get(usage::show))
        .merge(objects::routes())
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .with_state(plane)
}

fn call(endpoint: Endpoint) -> MethodRouter<Plane> {
    post(move |State(plane): State<Plane>, request: Request<Body>| {
        answer(plane.proxy, plane.objects, endpoint, Called::default(), request)
    })
}

fn call_with_model(endpoint: Endpoint) -> MethodRouter<Plane> {
    post(move |State(plane): State<Plane>, InPath(model): InPath<String>, request: Request<Body>| {
        let called = Called { model: Some(model), version: None };
        answer(plane.proxy, plane.objects, endpoint, called, request)
    })
}

/// `/v1beta/models/{model}:{verb}`, and the same in other versions.
async fn call_gemini(plane: Plane, version: &'static str, called: String, request: Request<Body>) -> Response<Body> {
    let known = called.rsplit_once(':').and_then(|(model, verb)| {
        let path = format!("/v1beta/models/{{model}}:{verb}");
        Some((model.to_owned(), Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)?))
    });
    let Some((model, endpoint)) = known else { return unknown_path(State(plane.proxy), request).await };
    let called = Called { model: Some(model), version: Some(version) };
    answer(plane.proxy, plane.objects, endpoint, called, request).await
}

/// `/v1/interactions`
async fn call_interactions(State(plane): State<Plane>, request: Request<Body>) -> Response<Body> {
    let called = Called { model: None, version: Some("/v1") };
    answer(plane.proxy, plane.objects, Endpoint::Interactions, called, request).await
}

/// What a path says beside its endpoint, where it says more.
#[derive(Default)]
struct Called {
    model: Option<String>,
    version: Option<&'static str>,
}

async fn answer(
    proxy: Arc<Proxy>,
    objects: Arc<Objects>,
    endpoint: Endpoint,
    called: Called,
    request: Request<Body>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query();
    let alt_sse = endpoint == Endpoint::StreamGenerateContent && parameter(query, "alt") == Some("sse");
    let listed = endpoint == Endpoint::StreamGenerateContent && !alt_sse;
    let surface = Surface { dialect: endpoint.dialect(), listed };
    let request_id = match proxy.new_request_id() {
        Ok(id) => id,
        Err(error) => return errors::response(surface, &error, None),
    };
    let mut observer = proxy.observers.request(request_id, (&parts.method, endpoint.path()), &parts.headers);
    let mut limits = LimitsView::default();
    let answered = match enter(&proxy, presented_key(&parts.headers, query), &mut limits) {
        Ok(entered) => {
            observer.entered(entered.shared_key());
            let variant = Variant { version: called.version, alt_sse };
            match read(&proxy, (endpoint, request_id), (called.model, variant), parts.headers, body).await {
                Ok(mut inbound) => {
                    observer.names(&inbound.request.model, &proxy.routes.load());
                    inbound.trace = observer.trace();
                    if refers(endpoint) {
                        respond(&proxy, &objects, entered, inbound).await
                    } else {
                        proxy.conduct(entered, inbound).await
                    }
                }
                Err(error) => Err(error),
            }
        }
        Err(refusal) => Err(refusal.into()),
    };
    let (mut response, error) = match answered {
        Ok(answer) => {
            limits = answer.limits;
            (answer.response, None)
        }
        Err(error) => (errors::response(surface, &error, Some(request_id)), Some(error)),
    };
    observer.answered(response.status().as_u16(), error.as_ref());
    errors::insert_limits(surface, response.headers_mut(), &limits, proxy.clock.unix_us());
    errors::insert_request_id(surface, response.headers_mut(), request_id);
    response
}

/// Whether a request may refer to what is kept.
const fn refers(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Responses | Endpoint::ChatCompletions)
}

/// Conducts a request that may refer to what is kept: that must be its customer's, and what is stored becomes it.
async fn respond(
    proxy: &Arc<Proxy>,
    objects: &Arc<Objects>,
    entered: Entered,
    mut inbound: Box<Inbound>,
) -> Result<Answer, ProxyError> {
    let key = &entered.key().record;
    let owner = Owner { customer_id: key.customer_id, key_id: key.key_id, request_id: inbound.request_id };
    let kept = &inbound.request.kept;
    let is_stored = kept.is_stored;
    let files = inbound.request.named_files()?;
    if kept.goes_on() || !files.is_empty() {
        // Set aside, so that those who refer to nothing, which are most, do not carry its weight.
        inbound.provider = Box::pin(objects.needs(owner.customer_id, kept, files)).await?;
    }
    let mut answer = proxy.conduct(entered, inbound).await?;
    if is_stored {
        answer.response = objects.stored(owner, &answer.served, answer.response);
    }
    Ok(answer)
}

/// Lets a request in; `limits` become those of its key, also when it is refused.
fn enter(proxy: &Proxy, key: Option<&str>, limits: &mut LimitsView) -> Result<Entered, Refusal> {
    let key = proxy.keyring.authenticate(key)?;
    let entered = Entered::enter(Arc::clone(&key), proxy.clock.clone());
    *limits = match &entered {
        Ok(entered) => entered.limits_view(),
        Err(refusal) => LimitsView::of_refused(&key, refusal, &proxy.clock),
    };
    entered
}

async fn read(
    proxy: &Proxy,
    (endpoint, request_id): (Endpoint, RequestId),
    (model, variant): (Option<String>, Variant),
    headers: HeaderMap,
    body: Body,
) -> Result<Box<Inbound>, ProxyError> {
    let tags = incoming::tags(&headers)?;
    let body = incoming::body(&headers, body, proxy.settings.body_bytes_max).await?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let request = ModelRequest::parse(endpoint, model.as_deref(), content_type, body)?;
    Ok(Box::new(Inbound { request_id, headers, request, variant, tags, provider: None, trace: None }))
}

/// Paths that providers have and this gateway does not pass on, because what they do could not be metered or kept apart
/// by customer.
const UNSERVED: &[&str] = &[
    "/v1/uploads",
    "/v1/fine_tuning",
    "/v1/assistants",
    "/v1/threads",
    "/v1/vector_stores",
    "/v1/containers",
    "/v1/realtime",
    "/v1/videos",
    "/v1/audio/translations",
    "/v1/images/variations",
    "/v1beta/interactions/",
    "/v1beta/cachedContents",
    "/v1beta/files",
    "/v1beta/batches",
    "/v1beta/tunedModels",
    "/upload/",
    "/api/pull",
    "/api/push",
    "/api/create",
    "/api/delete",
    "/api/copy",
];

async fn unknown_path(State(proxy): State<Arc<Proxy>>, request: Request<Body>) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    if UNSERVED.iter().any(|unserved| is_below(path, unserved)) {
        let message = format!("This gateway does not pass {path} on: what it leads to could not be metered.");
        return unrouted(&proxy, path, (StatusCode::NOT_FOUND, &message, "unsupported_endpoint"));
    }
    let message = format!("Unknown request URL: {method} {path}. Check the base URL (for OpenAI SDKs it ends in /v1).");
    unrouted(&proxy, path, (StatusCode::NOT_FOUND, &message, "unknown_url"))
}

/// Whether a path is another one, or below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn wrong_method(State(proxy): State<Arc<Proxy>>, request: Request<Body>) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} does not answer {method}.");
    unrouted(&proxy, path, (StatusCode::METHOD_NOT_ALLOWED, &message, "method_not_allowed"))
}

/// Refuses what no route takes: status, message and code.
fn unrouted(proxy: &Proxy, path: &str, refused: (StatusCode, &str, &'static str)) -> Response<Body> {
    proxy.observers.unrouted(refused.0.as_u16(), refused.2);
    let surface = Surface::of_path(path);
    named(proxy, surface, |request_id| errors::refused(surface, refused, request_id))
}

/// An answer that nothing upstream is asked for, with an id as any other has.
fn named(proxy: &Proxy, surface: Surface, answer: impl FnOnce(Option<RequestId>) -> Response<Body>) -> Response<Body> {
    // Where there is no randomness for an id, nothing goes upstream either: the answer is all there is.
    let request_id = proxy.new_request_id().ok();
    let mut response = answer(request_id);
    if let Some(request_id) = request_id {
        errors::insert_request_id(surface, response.headers_mut(), request_id);
    }
    response
}
