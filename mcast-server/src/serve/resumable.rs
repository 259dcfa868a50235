//! Sessions of the last start that are to go on.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::point::now_ms;
use crate::site::{Recorder, SessionRow};

/// Those that nobody has taken up yet, by image.
#[derive(Debug, Default)]
pub(crate) struct Resumable(Mutex<HashMap<String, Vec<SessionRow>>>);

impl Resumable {
    pub(crate) fn new(rows: Vec<SessionRow>) -> Self {
        let mut images: HashMap<String, Vec<SessionRow>> = HashMap::new();
        rows.into_iter().for_each(|row| images.entry(row.image.clone()).or_default().push(row));
        Self(Mutex::new(images))
    }

    /// Whether the one of `image` had started, if there is one.
    pub(crate) fn started(&self, image: &str) -> Option<bool> {
        self.lock().get(image).map(|rows| rows.iter().any(|row| row.started))
    }

    /// A session of `image` runs in its place.
    pub(crate) fn taken_up(&self, image: &str, recorder: &Recorder) {
        let rows = self.lock().remove(image).unwrap_or_default();
        end(rows, "interrupted: the server stopped; taken up by the next session of the image", recorder);
    }

    /// Those whose images are not `served` any more go on nowhere.
    pub(crate) fn keep(&self, served: impl Fn(&str) -> bool, recorder: &Recorder) {
        let gone: Vec<_> = self.lock().extract_if(|image, _| !served(image)).flat_map(|(_, rows)| rows).collect();
        end(gone, "interrupted: the server stopped, and does not serve the image any more", recorder);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<SessionRow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(rows: Vec<SessionRow>, outcome: &str, recorder: &Recorder) {
    for row in rows {
        let (ended_ms, outcome) = (Some(now_ms()), Some(outcome.to_owned()));
        recorder.session(SessionRow { state: "ended".to_owned(), ended_ms, outcome, ..row });
    }
}
