//! Metrics in Prometheus' text format. Labels are bounded: servers, sessions that run, states; never clients.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use utoipa_axum::routes;

use super::error::{KeptOut, Refused};
use super::{Routes, Shared};
use crate::serve::point::Point;
use crate::serve::pxe::Running;

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Sessions that get series of their own; there are hardly ever more.
const SESSIONS_LIMIT: usize = 64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSession {
    session: String,
    image: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfState {
    session: String,
    image: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State1 {
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfAnswer {
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStage {
    stage: &'static str,
}

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(answer))
}

/// Metrics in the text format of OpenMetrics.
#[utoipa::path(get, path = "/metrics", tag = "metrics", security(("token" = [])),
    responses((status = 200, content_type = "application/openmetrics-text", body = String),
        KeptOut))]
pub(super) async fn answer(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &collect(&shared.point)) {
        Ok(()) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => Refused::unavailable(&error).into_response(),
    }
}

fn collect(point: &Point) -> Registry {
    let mut registry = Registry::with_prefix("mcast");
    of_server(point, &mut registry);
    of_images(point, &mut registry);
    of_sessions(point, &mut registry);
    if let Some(here) = point.pxe() {
        of_bare_machines(&here, &mut registry);
    }
    registry
}

fn of_server(point: &Point, registry: &mut Registry) {
    let (totals, running) = point.tally();
    let wire: u64 = running.iter().map(|snapshot| snapshot.counters.wire_bytes).sum();
    let feedback: u64 = running.iter().map(|snapshot| snapshot.counters.feedback_bytes).sum();
    let malformed: u64 = running.iter().map(|snapshot| snapshot.counters.malformed).sum();
    let (admitted, waiting) = point.gate.counts();
    let seconds = point.started.elapsed().as_secs_f64();
    registry.register_with_unit("uptime", "Time since the start", Unit::Seconds, ConstGauge::new(seconds));
    registry.register("sessions_running", "Sessions that run", ConstGauge::new(running.len() as i64));
    registry.register("sessions_ended", "Sessions that are over", ConstCounter::new(totals.sessions));
    registry.register("clients_admitted", "Clients with a place", ConstGauge::new(i64::from(admitted)));
    registry.register("clients_waiting", "Clients in the queue", ConstGauge::new(i64::from(waiting)));
    registry.register("clients_by_http", "Clients that fetch by HTTP", ConstGauge::new(point.fetching().len() as i64));
    registry.register(
        "deliveries_complete",
        "Clients that got an image, in sessions that are over",
        ConstCounter::new(totals.complete),
    );
    registry.register(
        "deliveries_failed",
        "Clients that went without, in sessions that are over; those that went on by HTTP are not among them",
        ConstCounter::new(totals.failed),
    );
    registry.register(
        "deliveries_by_http",
        "Clients that got an image, or the rest of it, by HTTP",
        ConstCounter::new(totals.fetched),
    );
    registry.register_with_unit(
        "sent",
        "Sent by multicast and for it, headers counted",
        Unit::Bytes,
        ConstCounter::new(totals.wire_bytes + wire),
    );
    registry.register_with_unit(
        "feedback",
        "Received from clients, headers counted",
        Unit::Bytes,
        ConstCounter::new(totals.feedback_bytes + feedback),
    );
    registry.register(
        "malformed_running",
        "Datagrams that could not be read, in sessions that run",
        ConstGauge::new(malformed as i64),
    );
    let state = point.recorder.state().borrow().clone();
    registry.register(
        "database_reachable",
        "Whether the site's database answers",
        ConstGauge::new(i64::from(state.reachable)),
    );
    registry.register("database_pending", "Rows that wait for the database", ConstGauge::new(state.pending as i64));
}

fn of_images(point: &Point, registry: &mut Registry) {
    let images = Family::<State1, Gauge>::default();
    for state in ["settling", "hashing", "ready", "broken"] {
        drop(images.get_or_create(&State1 { state: state.to_owned() }));
    }
    for image in point.catalogue.all() {
        images.get_or_create(&State1 { state: image.state.word().to_owned() }).inc();
    }
    registry.register("images", "Images by state", images);
}

fn of_sessions(point: &Point, registry: &mut Registry) {
    let rate = Family::<OfSession, Gauge>::default();
    let progress = Family::<OfSession, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let loss = Family::<OfSession, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let clients = Family::<OfState, Gauge>::default();
    for view in point.running().into_iter().take(SESSIONS_LIMIT) {
        let of = || OfSession { session: view.id.clone(), image: view.image.clone() };
        rate.get_or_create(&of()).set(i64::try_from(view.rate).unwrap_or(i64::MAX));
        progress.get_or_create(&of()).set(view.progress);
        loss.get_or_create(&of()).set(view.median_loss);
        for (state, number) in [("active", view.active), ("complete", view.complete), ("failed", view.failed)] {
            let of = OfState { session: view.id.clone(), image: view.image.clone(), state: state.to_owned() };
            clients.get_or_create(&of).set(number.into());
        }
    }
    registry.register("session_rate_bits_per_second", "Rate on the wire", rate);
    registry.register("session_progress_ratio", "What all clients have together", progress);
    registry.register("session_median_loss_ratio", "Loss of the median client lately", loss);
    registry.register("session_clients", "Clients by what became of them", clients);
}

/// Of a server that boots machines.
fn of_bare_machines(here: &Running, registry: &mut Registry) {
    let requests = Family::<OfAnswer, Counter>::default();
    for (answer, count) in here.counts().requests() {
        requests.get_or_create(&OfAnswer { answer }).inc_by(count);
    }
    registry.register("pxe_requests", "Requests of machines by DHCP, by what became of them", requests);
    let steps = Family::<OfStage, Counter>::default();
    for (stage, count) in here.counts().stages() {
        steps.get_or_create(&OfStage { stage: stage.name() }).inc_by(count);
    }
    registry.register("pxe_steps", "Steps of machines that boot, by how far they took them", steps);
    let booting = here.point.booting();
    let machines = Family::<OfStage, Gauge>::default();
    for (stage, _) in here.counts().stages() {
        let number = booting.iter().filter(|machine| machine.stage == stage && !machine.refused).count();
        machines.get_or_create(&OfStage { stage: stage.name() }).set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    registry.register("pxe_machines", "Machines heard of within the last hour, by how far they are", machines);
    let refused = booting.iter().filter(|machine| machine.refused).count();
    let gauge = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    registry.register("pxe_machines_refused", "Machines that were refused something last", gauge(refused));
    registry.register("pxe_leases", "Addresses that are leased", gauge(here.counts().leases()));
    let (site, journal) = here.standing();
    let reachable = ConstGauge::new(i64::from(site.reachable));
    registry.register("pxe_site_reachable", "Whether machines get what the site says now", reachable);
    registry.register("pxe_pending", "What machines did that waits for the database", gauge(journal.pending));
    let dropped = ConstCounter::new(journal.dropped);
    registry.register("pxe_dropped", "What machines did that could not be kept for the database", dropped);
    of_tftp(here, registry);
}

fn of_tftp(here: &Running, registry: &mut Registry) {
    let tftp = here.tftp.counters();
    let active = ConstGauge::new(i64::try_from(tftp.active).unwrap_or(i64::MAX));
    registry.register("pxe_tftp_active", "TFTP transfers that go on", active);
    for (name, help, count) in [
        ("pxe_tftp_transfers", "TFTP transfers that were begun", tftp.started),
        ("pxe_tftp_done", "TFTP transfers whose file the machine has", tftp.done),
        ("pxe_tftp_aborted", "TFTP transfers that came to no end", tftp.aborted),
        ("pxe_tftp_refused", "TFTP requests that were refused", tftp.refused),
        ("pxe_tftp_resent_blocks", "TFTP blocks that were sent more than once", tftp.resent),
    ] {
        registry.register(name, help, ConstCounter::new(count));
    }
    let bytes = ConstCounter::new(tftp.bytes);
    registry.register_with_unit("pxe_tftp", "Files that machines have by TFTP", Unit::Bytes, bytes);
}
