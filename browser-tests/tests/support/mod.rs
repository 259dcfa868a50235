//! A room: a browser in front of a distribution point.

#![allow(dead_code, reason = "each test uses some of it")]

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use browser_tests::{Browser, Plan, Point, TOKEN};

/// One at a time: each has a browser and a server, which share the processor.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Room {
    pub(crate) browser: Browser,
    pub(crate) point: Point,
    pub(crate) begun: Instant,
    name: &'static str,
}

/// Runs a story, and checks that the browser complained of nothing; leaves a picture of a failure.
pub(crate) fn run(name: &'static str, plan: &Plan, story: impl AsyncFnOnce(&mut Room) -> Result<()>) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (browser, point) =
        runtime.block_on(async { (Browser::start().await.unwrap(), Point::start(plan).await.unwrap()) });
    let mut room = Room { browser, point, begun: Instant::now(), name };
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(story(&mut room))));
    let complaints = runtime.block_on(async {
        if !matches!(told, Ok(Ok(()))) {
            eprintln!("the page: {:?}", room.picture("failed").await);
        }
        let complaints = room.browser.complaints().await;
        drop(room.point);
        let _ = room.browser.quit().await;
        complaints
    });
    match told {
        Ok(result) => result.unwrap_or_else(|error| panic!("{error:?}")),
        Err(panic) => std::panic::resume_unwind(panic),
    }
    assert_eq!(complaints.unwrap(), Vec::<String>::new(), "the browser complains");
}

impl Room {
    /// Signs in as operator and looks at the session of `image`; its number.
    pub(crate) async fn open_session(&self, image: &str) -> Result<String> {
        let session = self.point.session_where(image, |session| session["state"] == "running").await?;
        let id = session["id"].as_str().unwrap().to_owned();
        self.browser.sign_in(&self.point.url(), TOKEN).await?;
        self.browser.go_to_session(&id).await?;
        Ok(id)
    }

    /// Keeps a picture, for people; where it is.
    pub(crate) async fn picture(&self, name: &str) -> Result<PathBuf> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}-{name}.png", self.name));
        self.browser.picture(&file).await?;
        Ok(file)
    }
}
