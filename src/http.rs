//! API, webhook intake, health, metrics. Decides nothing: it reads requests into commands, waits until
//! they are durable, and answers.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::handler::Handler;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::dispatch::daemon::Desk;
use crate::scenario::ScenarioSet;
use crate::store::Store;

mod auth;
mod backup;
mod bulk;
mod deliveries;
mod enrollments;
mod events;
mod health;
mod hold;
mod members;
pub mod metrics;
mod optouts;
mod plans;
mod problem;
mod scenarios;
mod test_sends;
mod timeline;
mod webhook;

pub use auth::ApiKeys;
pub use backup::{BackupView, backup_view};
pub use deliveries::{DeliveriesView, DeliveryView, deliveries_of};
pub use health::{Component, MAX_BEAT_AGE, Readiness};
pub use members::view as member_view;
pub use metrics::Metrics;
pub use plans::{
    MAX_PLANNING, PlanAsked, PlanMonth, PlanNamed, PlanRow, PlanView, Planning, QuotaView, plan_of,
};
pub use problem::Problem;
pub use test_sends::{Terms, TestSendView, TestSends};
pub use timeline::{
    Asked, ConditionView, Explain, ExplainedView, HappenedView, ObstacleView, PlannedView, RuleView, RunView,
    ScenarioView, StepView, TimelineView, TimingView, WhyView, timeline_of,
};

/// The longest body but for a stream: a thousand events with their largest data would be more, a
/// thousand usual ones are far less.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How long a request may take, a stream excepted: its lines have their own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The OpenAPI document, kept by hand beside the code that it describes.
pub const OPENAPI: &str = include_str!("http/openapi.json");

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

/// See the fields.
#[derive(Debug)]
pub struct Inner {
    pub desk: Desk,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    /// The scenarios that run, for showing them.
    pub scenarios: RwLock<Arc<ScenarioSet>>,
    pub keys: RwLock<ApiKeys>,
    /// What LINE signs webhooks with; none refuses them.
    pub channel_secret: RwLock<Option<SecretString>>,
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    pub planning: Arc<Planning>,
    pub test_sends: Arc<TestSends>,
}

impl Api {
    pub fn new(inner: Inner) -> Api {
        Api(Arc::new(inner))
    }

    fn scenarios(&self) -> Arc<ScenarioSet> {
        Arc::clone(&self.0.scenarios.read().expect("no holder of this lock panics"))
    }
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// All routes.
pub fn router(api: Api) -> Router {
    let keyed = middleware::from_fn_with_state(api.clone(), auth::require_key);
    let mut all = Router::new();
    for Route { path, access, pace, handlers, .. } in routes() {
        let handlers = match pace {
            Pace::Timed => handlers.layer(middleware::from_fn(limit_time)),
            Pace::Streamed => handlers,
        };
        let handlers = match access {
            Access::Keyed => handlers.layer(keyed.clone()),
            Access::Open => handlers,
        };
        all = all.route(path, handlers);
    }
    // bodies are read by bounds of our own
    all.layer(DefaultBodyLimit::disable())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(api)
}

/// Every path, what it takes, and on what terms; the OpenAPI document is held against it.
fn routes() -> Vec<Route> {
    vec![
        Route::keyed("/v1/events").streamed().on(Method::POST, events::post),
        Route::keyed("/v1/members").streamed().on(Method::POST, members::put_many),
        Route::keyed("/v1/members/{id}")
            .on(Method::GET, members::show)
            .on(Method::PUT, members::put)
            .on(Method::DELETE, members::erase),
        Route::keyed("/v1/members/{id}/timeline").on(Method::GET, timeline::show),
        Route::keyed("/v1/members/{id}/optout").on(Method::POST, optouts::out),
        Route::keyed("/v1/members/{id}/optin").on(Method::POST, optouts::back_in),
        Route::keyed("/v1/scenarios").on(Method::GET, scenarios::list),
        Route::keyed("/v1/scenarios/{id}").on(Method::GET, scenarios::show),
        Route::keyed("/v1/scenarios/{id}/enrollments").streamed().on(Method::POST, enrollments::post),
        Route::keyed("/v1/deliveries").on(Method::GET, deliveries::list),
        Route::keyed("/v1/deliveries/{id}/settle").on(Method::POST, deliveries::settle),
        // many members take minutes
        Route::keyed("/v1/plans").streamed().on(Method::POST, plans::post),
        // attempts and what they wait have a bound of their own
        Route::keyed("/v1/test-sends").streamed().on(Method::POST, test_sends::post),
        Route::keyed("/v1/hold").on(Method::POST, hold::hold),
        Route::keyed("/v1/release").on(Method::POST, hold::release),
        // a large store takes minutes
        Route::keyed("/v1/backup").streamed().on(Method::POST, backup::write),
        Route::keyed("/metrics").on(Method::GET, metrics::show),
        Route::open("/line/webhook").on(Method::POST, webhook::receive),
        Route::open("/healthz").on(Method::GET, health::healthz),
        Route::open("/readyz").on(Method::GET, health::readyz),
        Route::open("/openapi.json").on(Method::GET, openapi),
    ]
}

struct Route {
    path: &'static str,
    access: Access,
    pace: Pace,
    methods: Vec<Method>,
    handlers: MethodRouter<Api>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Who presents an API key, once any is configured.
    Keyed,
    Open,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// [`REQUEST_TIMEOUT`] in all.
    Timed,
    /// As long as its body keeps coming, or what it asks for goes on.
    Streamed,
}

impl Route {
    fn keyed(path: &'static str) -> Route {
        Route::new(path, Access::Keyed)
    }

    fn open(path: &'static str) -> Route {
        Route::new(path, Access::Open)
    }

    fn new(path: &'static str, access: Access) -> Route {
        Route { path, access, pace: Pace::Timed, methods: Vec::new(), handlers: MethodRouter::new() }
    }

    fn streamed(self) -> Route {
        Route { pace: Pace::Streamed, ..self }
    }

    fn on<T: 'static>(mut self, method: Method, handler: impl Handler<T, Api>) -> Route {
        let filter = MethodFilter::try_from(method.clone()).expect("it is a method of HTTP's own");
        self.handlers = self.handlers.on(filter, handler);
        self.methods.push(method);
        self
    }
}

/// Answers requests until `shutdown` comes, then finishes those that are under way.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// The one variable segment of a path, percent-decoded.
struct Segment(String);

impl FromRequestParts<Api> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Segment, Problem> {
        match Path::from_request_parts(parts, api).await {
            Ok(Path(text)) => Ok(Segment(text)),
            Err(_) => Err(Problem::new(400, "the path is not UTF-8 once it is percent-decoded")),
        }
    }
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(408, "the request took too long").into_response(),
    }
}

async fn openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}

async fn not_found() -> Problem {
    Problem::new(404, "there is nothing here; see /openapi.json")
}

async fn method_not_allowed() -> Problem {
    Problem::new(405, "this path does not take this method; see /openapi.json")
}

/// Runs a store read off the async threads.
async fn read<T: Send + 'static>(
    State(api): &State<Api>,
    reading: impl FnOnce(&dyn Store) -> Result<T, crate::store::StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(&api.store);
    match tokio::task::spawn_blocking(move || reading(&*store)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store could not be read");
            Err(Problem::new(503, "the store could not be read"))
        }
        Err(_) => Err(Problem::new(500, "reading the store panicked")),
    }
}

#[cfg(test)]
mod tests;
