//! What there is, as tables and sheets.

mod clients;
mod images;
#[cfg(test)]
pub(super) mod samples;
pub(super) mod sessions;
mod status;

use super::answers::{ClientView, Delivery, ImageView, Readiness, SessionView, Setting, Site, SiteImageView, Waiting};
use super::api::{Answer, Api, part};
use super::error::{CtlError, CtlExit};
use super::find;
use super::out::{Paper, print};
use super::table::{Column, Table};
use status::Glance;

/// Site, servers, database, images and sessions at a glance.
pub(super) fn status(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let site = api.get("api/v1/site")?;
    let health = api.get("api/v1/health")?;
    let ready = api.get_even_unwell("api/v1/ready")?;
    let sessions = api.get("api/v1/sessions")?;
    let queue = api.get("api/v1/queue")?;
    if paper.json {
        let parts = [("site", site), ("health", health), ("ready", ready), ("sessions", sessions), ("queue", queue)];
        let parts: Vec<_> = parts.iter().map(|(name, answer)| format!("\"{name}\":{}", answer.text())).collect();
        return print(&format!("{{{}}}", parts.join(",")));
    }
    let glance = Glance {
        site: api.parsed(&site)?,
        health: api.parsed(&health)?,
        ready: api.parsed(&ready)?,
        sessions: api.parsed(&sessions)?,
        waiting: api.parsed::<Vec<Waiting>>(&queue)?.len(),
    };
    super::out::lines(&status::lines(&glance, paper))
}

/// The server's images, or the one of this name.
pub(super) fn images(api: &Api, paper: &Paper, name: Option<&str>) -> Result<(), CtlError> {
    match name {
        None => {
            let answer = api.get("api/v1/images")?;
            paper.show(&answer, || Ok(images::table(&api.parsed::<Vec<ImageView>>(&answer)?, paper)))
        }
        Some(name) => {
            let answer = api.get(&format!("api/v1/images/{}", part(name)))?;
            paper.show(&answer, || Ok(images::sheet(&api.parsed(&answer)?, paper)))
        }
    }
}

/// The images of all servers of the site.
pub(super) fn site_images(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/site/images")?;
    paper.show(&answer, || Ok(images::site_table(&api.parsed::<Vec<SiteImageView>>(&answer)?, paper)))
}

/// The site's sessions that run, and the last ones that ended.
pub(super) fn sessions(api: &Api, paper: &Paper, ended: u32) -> Result<(), CtlError> {
    let answer = api.get(&format!("api/v1/sessions?ended={ended}"))?;
    paper.show(&answer, || Ok(sessions::table(&api.parsed::<Vec<SessionView>>(&answer)?, paper)))
}

/// One session.
pub(super) fn session(api: &Api, paper: &Paper, wanted: &str) -> Result<(), CtlError> {
    let all = find::sessions(api)?;
    let session = find::session(&all, wanted, &api.server())?;
    let answer = api.get(&format!("api/v1/sessions/{}", part(&session.id)))?;
    paper.show(&answer, || Ok(sessions::sheet(&api.parsed(&answer)?, paper)))
}

/// The server's clients, or those of one session.
pub(super) fn clients(api: &Api, paper: &Paper, session: Option<&str>) -> Result<(), CtlError> {
    let path = match session {
        None => "api/v1/clients".to_owned(),
        Some(wanted) => {
            let all = find::sessions(api)?;
            let session = find::session(&all, wanted, &api.server())?;
            format!("api/v1/sessions/{}/clients", part(&session.id))
        }
    };
    let answer = api.get(&path)?;
    paper.show(&answer, || Ok(clients::table(&api.parsed::<Vec<ClientView>>(&answer)?, paper)))
}

/// Who waits for a place.
pub(super) fn queue(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/queue")?;
    paper.show(&answer, || {
        let names: Site = api.parsed(&api.get("api/v1/site")?)?;
        Ok(clients::queue(&api.parsed::<Vec<Waiting>>(&answer)?, &names.servers, paper))
    })
}

/// Who received what.
pub(super) fn history(api: &Api, paper: &Paper, image: Option<&str>, limit: u32) -> Result<(), CtlError> {
    let image = image.map(|image| format!("&image={}", part(image))).unwrap_or_default();
    let answer = api.get(&format!("api/v1/history?limit={limit}{image}"))?;
    paper.show(&answer, || Ok(clients::history(&api.parsed::<Vec<Delivery>>(&answer)?, paper)))
}

/// The settings as they count now.
pub(super) fn settings(api: &Api, paper: &Paper) -> Result<(), CtlError> {
    let answer = api.get("api/v1/settings")?;
    paper.show(&answer, || {
        let mut table = Table::new([Column::left("setting"), Column::left("value").wrap()]);
        for Setting { key, value } in api.parsed::<Vec<Setting>>(&answer)? {
            table.row([key, value]);
        }
        Ok(table.lines(paper.width))
    })
}

/// Whether the server can serve.
pub(super) fn ready(api: &Api, paper: &Paper) -> Result<CtlExit, CtlError> {
    let answer = api.get_even_unwell("api/v1/ready")?;
    let readiness: Readiness = api.parsed(&answer)?;
    paper.show(&answer, || Ok(vec![readiness_of(&readiness)]))?;
    Ok(if readiness.ready { CtlExit::Success } else { CtlExit::NotReady })
}

/// The API's description, which is JSON in any case.
pub(super) fn openapi(api: &Api, _: &Paper) -> Result<(), CtlError> {
    let answer: Answer = api.get("api/v1/openapi.json")?;
    print(&answer.text())
}

fn readiness_of(readiness: &Readiness) -> String {
    let word = if readiness.ready { "ready" } else { "not ready" };
    format!("{word}: the site's database {}; images: {}", database(readiness), images_of(readiness))
}

fn database(readiness: &Readiness) -> &'static str {
    if readiness.database { "answers" } else { "does not answer" }
}

fn images_of(readiness: &Readiness) -> String {
    let Readiness { images, images_ready, .. } = *readiness;
    match images {
        0 => "none".to_owned(),
        images if images == images_ready => format!("{images}, all ready"),
        images => format!("{images}, {images_ready} ready"),
    }
}
