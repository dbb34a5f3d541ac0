//! `POST /v1/backup`: a backup of the store while it is in use.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Api, MAX_BODY_BYTES, Problem, bulk};
use crate::store::{self, BackupSummary, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    file: PathBuf,
}

/// A backup that was written and read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupView {
    pub file: PathBuf,
    /// All that was acknowledged before this instant is in it.
    pub at: Timestamp,
    pub rows: u64,
    pub size_bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

pub(super) async fn write(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BackupView>, Problem> {
    let bytes = bulk::whole(&headers, body, MAX_BODY_BYTES).await?;
    let Asked { file } = serde_json::from_str(bulk::one(bulk::utf8(&bytes)?)?).map_err(|error| {
        Problem::new(422, format!("a backup is asked for by `{{\"file\": PATH}}`: {error}"))
    })?;
    if !file.is_absolute() {
        return Err(Problem::new(422, "`file` must be an absolute path on the daemon's machine"));
    }
    let store = Arc::clone(&api.store);
    let clock = api.clock.clone();
    let to = file.clone();
    let writing = tokio::task::spawn_blocking(move || store::backup(&*store, &to, &|| clock.now()));
    match writing.await {
        Ok(Ok(summary)) => {
            tracing::info!(file = %file.display(), size_bytes = summary.size_bytes, "backup written");
            Ok(Json(backup_view(&file, &summary)))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "no backup was written");
            let status = match error {
                StoreError::BackupExists { .. }
                | StoreError::BackupRunning { .. }
                | StoreError::BackupLeftover { .. } => 409,
                // such a path will not do the next time either
                StoreError::Io { ref cause, .. }
                    if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
                {
                    422
                }
                _ => 503,
            };
            Err(Problem::new(status, error.to_string()))
        }
        Err(_) => Err(Problem::new(500, "writing the backup panicked")),
    }
}

/// A backup as it is told of.
pub fn backup_view(file: &Path, summary: &BackupSummary) -> BackupView {
    BackupView {
        file: file.to_owned(),
        at: summary.ended,
        rows: summary.rows,
        size_bytes: summary.size_bytes,
        sha256: summary.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
