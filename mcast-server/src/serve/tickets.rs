//! Places for clients: asked for in the site, or decided here while the site cannot be asked.
//!
//! Whom this server serves is what counts in the end: every few seconds its tickets are made to say that. While they
//! may not, since the database was away, the site's count is worth nothing, and this server goes by its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_line::chain;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::debug;

use super::gate::{Place, PlaceWish};
use super::point::Point;
use crate::site::{TicketAsk, Verdict};

/// Questions at the same time.
const QUESTIONS: usize = 4;
/// Between two looks whether the site's tickets are those of the clients that are served.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(5);
/// The same while the site's word does not count.
const RETURN_INTERVAL: Duration = Duration::from_secs(1);

/// Answers what the gate wishes to know about places, and keeps the site's tickets right until `stop` says true.
pub(crate) async fn follow(point: Arc<Point>, places: mpsc::Receiver<PlaceWish>, stop: watch::Receiver<bool>) {
    tokio::join!(fulfil(&point, places), reconcile(&point, stop));
}

async fn fulfil(point: &Arc<Point>, mut wishes: mpsc::Receiver<PlaceWish>) {
    let questions = Arc::new(Semaphore::new(QUESTIONS));
    while let Some(wish) = wishes.recv().await {
        if !point.gate.waits_for(&wish) {
            continue;
        }
        if site_decides(point) {
            // Closed only with the task.
            let Ok(permit) = questions.clone().acquire_owned().await else { return };
            // Another question may have found out meanwhile.
            if site_decides(point) {
                let point = point.clone();
                tokio::spawn(async move {
                    ask(&point, &wish).await;
                    drop(permit);
                });
                continue;
            }
        }
        point.gate.settle_alone(&wish.image, wish.client, Instant::now());
    }
}

/// Whether the site can be asked, and knows who is served.
fn site_decides(point: &Point) -> bool {
    point.gate.doubts.borrow().are_settled() && point.recorder.state().borrow().reachable
}

async fn ask(point: &Point, wish: &PlaceWish) {
    let number = wish.client.to_string();
    let ask = TicketAsk {
        server: &point.server,
        image: &wish.image,
        client: &number,
        host: &wish.host,
        priority: wish.priority.into(),
        cap: point.gate.cap(),
    };
    let place = match point.site.ask_ticket(ask).await {
        Ok(Verdict::Admitted) => Place::Admitted,
        Ok(Verdict::Queued { place, waiting, admitted }) => Place::Queued { place, waiting, admitted },
        Err(error) => {
            debug!("{}", chain(&error));
            if error.is_unreachable() {
                point.gate.doubt();
            }
            return point.gate.settle_alone(&wish.image, wish.client, Instant::now());
        }
    };
    if !point.gate.settle(&wish.image, wish.client, place, Instant::now()) {
        // It went while the question was under way: nobody else would give this ticket back soon.
        point.recorder.free_ticket(&wish.image, &number);
    }
}

/// Makes the site's tickets those of the clients that are served here, again and again.
async fn reconcile(point: &Point, mut stop: watch::Receiver<bool>) {
    let (mut doubts, mut recorder) = (point.gate.doubts.subscribe(), point.recorder.state());
    loop {
        let sure = doubts.borrow().are_settled();
        let pause = if sure { RECONCILE_INTERVAL } else { RETURN_INTERVAL };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // What is missing is to be noted before anybody is let in again by the site's word.
            _ = recorder.wait_for(|state| !state.reachable), if sure => point.gate.doubt(),
            _ = doubts.wait_for(|doubts| !doubts.are_settled()), if sure => {}
            _ = stop.wait_for(|stops| *stops) => return,
        }
        if !recorder.borrow().reachable {
            continue;
        }
        let (served, doubts_then) = point.gate.served();
        match point.site.reconcile_tickets(&point.server, &served).await {
            Ok(changed) => {
                if changed > 0 {
                    debug!(changed, "the site's tickets are those of the clients that are served");
                }
                point.gate.counted(doubts_then);
            }
            Err(error) => {
                debug!("{}", chain(&error));
                if error.is_unreachable() {
                    point.gate.doubt();
                }
            }
        }
    }
}
