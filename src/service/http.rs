//! The HTTP API. Each handler checks what it is given, asks the backend, and answers in JSON.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, Stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{OpenApi, ToSchema};

use super::backend::{Backend, Database, Request};
use super::download::download;
use super::guards::Guards;
use super::jobs::{Job, State as JobState, Work};
use crate::archive::VerifyLevel;
use crate::backup::retention::Decision;
use crate::backup::{BackupSet, Drilled, How, Kind, SetSummary, Verified, parse_set_name};
use crate::{Error, ErrorKind};

/// A body may have so many bytes: none of ours needs a hundredth of it.
const MOST_BODY_BYTES: usize = 64 << 10;

/// Between two events of a job's stream.
const EVENT_PAUSE: Duration = Duration::from_millis(250);

/// What every handler has.
#[derive(Clone)]
pub struct Api {
    /// The databases.
    pub backend: Backend,
    /// Who may ask.
    pub guards: Guards,
    /// Whether a restore may be asked for.
    pub allow_restore: bool,
    /// Becomes the number of the signal that stops the service.
    pub stop: watch::Receiver<Option<u8>>,
}

/// The error of a service that stops, once it does.
pub async fn stopped(mut stop: watch::Receiver<Option<u8>>) -> Error {
    let signal = match stop.wait_for(Option::is_some).await {
        Ok(signal) => signal.unwrap_or(15),
        Err(_) => 15,
    };
    Error::new(ErrorKind::Interrupted(signal), "the service stops")
}

/// The routes, guarded.
fn router(api: Api) -> Router {
    let guarded = Router::new()
        .route("/api/backup/create", post(create))
        .route("/api/backup/list", get(list))
        .route("/api/backup/cleanup", post(cleanup))
        .route("/api/backup/{id}", get(show))
        .route("/api/backup/{id}/download", get(fetch))
        .route("/api/backup/{id}/verify", post(verify))
        .route("/api/backup/{id}/drill", post(drill))
        .route("/api/backup/{id}/pin", post(pin))
        .route("/api/backup/{id}/restore", post(restore))
        .route("/api/jobs/{id}", get(job))
        .route("/api/jobs/{id}/events", get(job_events))
        .route("/api/openapi.json", get(openapi))
        .route("/metrics", get(metrics))
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "there is no such page") })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this page takes another method",
            )
        })
        .layer(middleware::from_fn_with_state(api.clone(), guard))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES));
    Router::new()
        .route("/healthz", get(healthz))
        .merge(guarded)
        .layer(middleware::from_fn(trace))
        .with_state(api)
}

/// The API's description, as `GET /api/openapi.json` gives it.
pub fn openapi_json() -> String {
    let mut document = ApiDocument::openapi();
    document.info.version = "1".to_owned();
    document
        .to_pretty_json()
        .unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
        + "\n"
}

/// pgstow: backups of PostgreSQL
#[derive(OpenApi)]
#[openapi(
    info(title = "pgstow", license(name = "MIT OR Apache-2.0")),
    paths(
        create, list, cleanup, show, fetch, verify, drill, pin, restore, job, job_events, healthz,
        metrics
    ),
    components(schemas(
        Job,
        Work,
        JobState,
        SetSummary,
        Kind,
        Verified,
        How,
        Drilled,
        ErrorBody,
        CreateBody,
        VerifyBody,
        Level,
        PinBody,
        RestoreBody,
        CleanupBody,
        CleanupPreview
    ))
)]
struct ApiDocument;

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Gives each request an id, and a line in the log. Queries and headers are not logged: they may hold a secret by mistake.
async fn trace(request: HttpRequest, next: Next) -> Response {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = format!(
        "{:x}-{}",
        jiff::Timestamp::now().as_millisecond(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    let elapsed_ms = started.elapsed().as_millis();
    tracing::info!(request_id = id, status, %elapsed_ms, "{method} {}", path.escape_debug());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

async fn guard(State(api): State<Api>, request: HttpRequest, next: Next) -> Response {
    match api.guards.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => {
            tracing::warn!("refused {}: {text}", request.uri().path().escape_debug());
            ApiError::new(status, text).into_response()
        }
    }
}

/// What clients get of an error.
#[derive(Serialize, ToSchema)]
struct ErrorBody {
    /// One line.
    error: String,
    /// What to do, if anything is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The job that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Box<Job>>,
    /// Under which the log has more.
    request_id: String,
}

/// An answer that is no success.
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
    hint: Option<String>,
    job: Option<Box<Job>>,
}

impl ApiError {
    fn new(status: StatusCode, message: &str) -> ApiError {
        ApiError {
            status,
            message: message.to_owned(),
            hint: None,
            job: None,
        }
    }

    /// A bug of ours: the client gets no more than that.
    pub(super) fn internal(why: &str) -> ApiError {
        tracing::error!("internal: {why}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    fn busy(job: Box<Job>) -> ApiError {
        let message = format!("the database is busy: {} runs", job.work.as_str());
        ApiError {
            job: Some(job),
            hint: Some("Wait until it is done: GET /api/jobs/ID.".to_owned()),
            ..ApiError::new(StatusCode::CONFLICT, &message)
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Locked | ErrorKind::AlreadyExists => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let details = error.details().join(" ");
        tracing::warn!("{}: {details}", error.message());
        ApiError {
            hint: error.hint_text().map(str::to_owned),
            ..ApiError::new(status, error.message())
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: self.message,
            hint: self.hint,
            job: self.job,
            request_id: REQUEST_ID.try_with(Clone::clone).unwrap_or_default(),
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

type Answer<T> = std::result::Result<T, ApiError>;

/// A body of JSON, or none at all.
fn read_body<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<T> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        status => ApiError::new(status, "the body could not be read"),
    })?;
    if body.is_empty() {
        return Ok(T::default());
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body must be application/json",
        ));
    }
    serde_json::from_slice(&body)
        .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, &format!("the body is wrong: {e}")))
}

/// The set of an id, in whichever database's repository it is.
async fn find_set(api: &Api, id: &str) -> Answer<(Database, BackupSet, Decision)> {
    // An id has the form of a file name; what has not reaches no storage.
    let Some(name) = parse_set_name(&format!("{id}.sql")) else {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "this is no backup id",
        ));
    };
    if let Ok(database) = api.backend.database(Some(&name.name)) {
        let sets = database.sets().await?;
        if let Some((set, decision)) = sets.into_iter().find(|(set, _)| set.name.id == id) {
            return Ok((database.clone(), set, decision));
        }
    }
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "there is no such backup",
    ))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait: bool,
}

/// Starts a job: 202 at once, or its outcome with `?wait=true`.
async fn start(api: &Api, database: &Database, request: Request, wait: bool) -> Answer<Response> {
    let work = request.work();
    let admitted = api.backend.admit(database, work).map_err(ApiError::busy)?;
    let mut watch = admitted.job().watch();
    let view = admitted.job().view();
    let stop = stopped(api.stop.clone());
    // The job goes on when the client hangs up.
    let task = tokio::spawn(admitted.run(request, stop));
    if !wait {
        let location = format!("/api/jobs/{}", view.id);
        let headers = [(header::LOCATION, location)];
        return Ok((StatusCode::ACCEPTED, headers, Json(view)).into_response());
    }
    let _ = watch.wait_for(|job| job.finished.is_some()).await;
    let job = task.await.map_err(|e| ApiError::internal(&e.to_string()))?;
    let status = match (job.state, job.exit_status) {
        (JobState::Failed, Some(11)) => StatusCode::CONFLICT,
        (JobState::Failed, Some(5)) => StatusCode::NOT_FOUND,
        (JobState::Failed, _) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    Ok((status, Json(job)).into_response())
}

/// What to back up.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    /// The configured database; may be left out if there is one.
    database: Option<String>,
    /// Which rule of retention is to treat it; `manual` if left out.
    kind: Option<Kind>,
}

/// Make a backup
#[utoipa::path(post, path = "/api/backup/create", request_body = Option<CreateBody>,
    params(("wait" = Option<bool>, Query, description = "Answer when it is done")),
    responses((status = 202, body = Job), (status = 200, description = "Done, with ?wait=true", body = Job),
        (status = 409, description = "The database has a job that runs", body = ErrorBody),
        (status = 500, description = "Failed, with ?wait=true", body = Job)))]
async fn create(
    State(api): State<Api>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body: CreateBody = read_body(&headers, body)?;
    let database = api.backend.database(body.database.as_deref())?;
    let request = Request::Create(body.kind.unwrap_or_default());
    start(&api, database, request, query.wait).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    database: Option<String>,
}

/// List the backups, the newest first
#[utoipa::path(get, path = "/api/backup/list",
    params(("database" = Option<String>, Query, description = "Of this database only")),
    responses((status = 200, body = [SetSummary])))]
async fn list(State(api): State<Api>, Query(query): Query<Of>) -> Answer<Json<Vec<SetSummary>>> {
    let databases: Vec<&Database> = match &query.database {
        Some(name) => vec![api.backend.database(Some(name))?],
        None => api.backend.databases().iter().collect(),
    };
    let mut sets = Vec::new();
    for database in databases {
        sets.extend(database.sets().await?);
    }
    sets.sort_by_key(|(set, _)| std::cmp::Reverse((set.name.created, set.name.attempt)));
    let summaries = sets
        .iter()
        .map(|(set, decision)| SetSummary::of(set, decision));
    Ok(Json(summaries.collect()))
}

/// Tell of one backup
#[utoipa::path(get, path = "/api/backup/{id}", params(("id" = String, Path)),
    responses((status = 200, body = SetSummary), (status = 404, body = ErrorBody)))]
async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer<Json<SetSummary>> {
    let (_, set, decision) = find_set(&api, &id).await?;
    Ok(Json(SetSummary::of(&set, &decision)))
}

/// Download a backup as it is stored; ranges are served
#[utoipa::path(get, path = "/api/backup/{id}/download", params(("id" = String, Path)),
    responses((status = 200, description = "All bytes", content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for", content_type = "application/octet-stream"),
        (status = 404, body = ErrorBody), (status = 416, description = "A range beyond the end")))]
async fn fetch(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let (database, set, _) = find_set(&api, &id).await?;
    download(&database.repository()?, &set, &headers).await
}

/// How far to look.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// Footer, index and sizes.
    Quick,
    /// Every byte, row and statement.
    #[default]
    ReadData,
}

/// How to verify.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    /// `read-data` if left out.
    #[serde(default)]
    level: Level,
}

/// Verify a backup
#[utoipa::path(post, path = "/api/backup/{id}/verify", request_body = Option<VerifyBody>,
    params(("id" = String, Path), ("wait" = Option<bool>, Query, description = "Answer when it is done")),
    responses((status = 202, body = Job), (status = 200, body = Job), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
async fn verify(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body: VerifyBody = read_body(&headers, body)?;
    let (database, set, _) = find_set(&api, &id).await?;
    let level = match body.level {
        Level::Quick => VerifyLevel::Quick,
        Level::ReadData => VerifyLevel::Full,
    };
    let request = Request::Verify(Some(Box::new(set)), level);
    start(&api, &database, request, query.wait).await
}

/// A body with nothing to say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Prove a backup by restoring it into a scratch database
#[utoipa::path(post, path = "/api/backup/{id}/drill",
    params(("id" = String, Path), ("wait" = Option<bool>, Query, description = "Answer when it is done")),
    responses((status = 202, body = Job), (status = 200, body = Job), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
async fn drill(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let Nothing {} = read_body(&headers, body)?;
    let (database, set, _) = find_set(&api, &id).await?;
    start(
        &api,
        &database,
        Request::Drill(Some(Box::new(set))),
        query.wait,
    )
    .await
}

/// Whether to pin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PinBody {
    /// `true` if left out.
    #[serde(default = "yes")]
    pinned: bool,
}

fn yes() -> bool {
    true
}

impl Default for PinBody {
    fn default() -> Self {
        PinBody { pinned: true }
    }
}

/// Keep a backup whatever the rules say, or no longer
#[utoipa::path(post, path = "/api/backup/{id}/pin", request_body = Option<PinBody>, params(("id" = String, Path)),
    responses((status = 200, body = SetSummary), (status = 404, body = ErrorBody)))]
async fn pin(
    State(api): State<Api>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<SetSummary>> {
    let body: PinBody = read_body(&headers, body)?;
    let (database, set, _) = find_set(&api, &id).await?;
    database
        .repository()?
        .update_meta(&set, |meta| meta.pinned = body.pinned)
        .await?;
    let (_, set, decision) = find_set(&api, &id).await?;
    Ok(Json(SetSummary::of(&set, &decision)))
}

/// The confirmation of a restore.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    /// The name of the database on the server, as the restore command asks for it on a terminal.
    #[serde(default)]
    confirm: String,
}

/// Restore a backup into its configured database; only where the service allows it
#[utoipa::path(post, path = "/api/backup/{id}/restore", request_body = RestoreBody,
    params(("id" = String, Path), ("wait" = Option<bool>, Query, description = "Answer when it is done")),
    responses((status = 202, body = Job), (status = 200, body = Job),
        (status = 400, description = "Not confirmed", body = ErrorBody),
        (status = 403, description = "Not allowed", body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
async fn restore(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    if !api.allow_restore {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "this service does not restore: it was started without --allow-restore",
        ));
    }
    let body: RestoreBody = read_body(&headers, body)?;
    let (database, set, _) = find_set(&api, &id).await?;
    if body.confirm != database.profile.connect_settings()?.database() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "not confirmed: \"confirm\" must be the name of the database",
        ));
    }
    start(&api, &database, Request::Restore(Box::new(set)), query.wait).await
}

/// What to clean up.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CleanupBody {
    /// The configured database; may be left out if there is one.
    database: Option<String>,
    /// Only tell what would be deleted.
    #[serde(default)]
    dry_run: bool,
}

/// What a cleanup would do.
#[derive(Serialize, ToSchema)]
struct CleanupPreview {
    /// Ids of the sets that would be kept, with the reasons.
    keep: Vec<(String, Vec<String>)>,
    /// Ids of the sets that would be deleted, with the reasons.
    delete: Vec<(String, Vec<String>)>,
}

/// Delete the backups that no rule keeps
#[utoipa::path(post, path = "/api/backup/cleanup", request_body = Option<CleanupBody>,
    params(("wait" = Option<bool>, Query, description = "Answer when it is done")),
    responses((status = 202, body = Job), (status = 200, description = "With dry_run", body = CleanupPreview),
        (status = 409, body = ErrorBody)))]
async fn cleanup(
    State(api): State<Api>,
    Query(query): Query<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let body: CleanupBody = read_body(&headers, body)?;
    let database = api.backend.database(body.database.as_deref())?;
    if !body.dry_run {
        return start(&api, database, Request::Cleanup, query.wait).await;
    }
    let plan = database.cleanup_plan().await?;
    let mut preview = CleanupPreview {
        keep: Vec::new(),
        delete: Vec::new(),
    };
    for (set, decision) in plan.sets {
        let line = (set.name.id, decision.reasons);
        match decision.keep {
            true => preview.keep.push(line),
            false => preview.delete.push(line),
        }
    }
    Ok(Json(preview).into_response())
}

fn no_job() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such job")
}

/// Tell of a job
#[utoipa::path(get, path = "/api/jobs/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Job), (status = 404, body = ErrorBody)))]
async fn job(State(api): State<Api>, Path(id): Path<String>) -> Answer<Json<Job>> {
    let watch = api.backend.jobs.watch(&id).ok_or_else(no_job)?;
    let view = watch.borrow().clone();
    Ok(Json(view))
}

/// Follow a job: server-sent events called `job`, each the whole job, until it is finished
#[utoipa::path(get, path = "/api/jobs/{id}/events", params(("id" = String, Path)),
    responses((status = 200, description = "A stream of events", content_type = "text/event-stream"),
        (status = 404, body = ErrorBody)))]
async fn job_events(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Answer<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>> {
    let watch = api.backend.jobs.watch(&id).ok_or_else(no_job)?;
    let stop = api.stop.clone();
    let events = stream::unfold(Some((watch, true)), move |state| {
        let stop = stop.clone();
        async move {
            let (mut watch, is_first) = state?;
            if !is_first {
                // What changes quickly is told a few times a second; the end is told at once.
                let pause = tokio::time::sleep(EVENT_PAUSE);
                let mut end = watch.clone();
                tokio::select! {
                    () = pause => {}
                    _ = end.wait_for(|job| job.finished.is_some()) => {}
                }
                tokio::select! {
                    changed = watch.changed() => changed.ok()?,
                    _ = stopped(stop) => return None,
                }
            }
            let view = watch.borrow_and_update().clone();
            let next = view.finished.is_none().then_some((watch, false));
            let event = SseEvent::default().event("job").json_data(&view).ok()?;
            Some((Ok(event), next))
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}

/// Tell that the service is alive
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "It is", content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "As text", content_type = "text/plain")))]
async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let page = api.backend.metrics.render(api.backend.databases()).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page)
}

/// Serves until `stop` resolves and all jobs have ended.
///
/// # Errors
/// `Io` of the listener.
pub async fn serve(
    listener: tokio::net::TcpListener,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> crate::Result<()> {
    let jobs = Arc::new(api.backend.jobs.clone());
    axum::serve(listener, router(api))
        .with_graceful_shutdown(stop)
        .await
        .map_err(|e| Error::io("the HTTP service failed", e))?;
    jobs.idle().await;
    Ok(())
}
