//! What must fit together, and what is allowed and yet unusual; nothing here looks at the system.

use std::collections::HashMap;
use std::net::IpAddr;

use multicast_core::address;

use super::error::{Origin, Problem};
use super::fill::{Origins, label};
use super::pxe;
use super::settings::{AddressSource, Database, MulticastUse, Settings};
use super::surroundings::Surroundings;
use crate::amounts;

/// Looks at settings as a whole.
pub(super) struct Check<'a> {
    pub(super) settings: &'a mut Settings,
    pub(super) origins: &'a mut Origins,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    /// Finds contradictions, and lets the stronger source win where two keys mean the same.
    pub(super) fn all(&mut self) {
        self.rate();
        self.account();
        self.http();
        self.images();
        self.tokens();
        pxe::check(self.settings, self.origins, self.problems);
    }

    fn rate(&mut self) {
        let network_said = self.settings.rate.network.is_some();
        if network_said && self.settings.rate.custom.is_some() {
            match self.stronger("rate.network", "rate.custom") {
                Some("rate.custom") => self.settings.rate.network = None,
                _ => self.settings.rate.custom = None,
            }
        }
    }

    fn account(&mut self) {
        let account = &self.settings.site.account;
        if account.password.is_some() && account.password_file.is_some() {
            match self.stronger("site.account.password", "site.account.password_file") {
                Some("site.account.password") => self.settings.site.account.password_file = None,
                _ => self.settings.site.account.password = None,
            }
        }
    }

    fn http(&mut self) {
        let http = &self.settings.http;
        let mut seen = Vec::new();
        for address in &http.listen {
            // Port 0 is a different one each time.
            if address.port() != 0 && seen.contains(&address) {
                let text = format!("http.listen names {address} twice");
                self.problems.push(Problem::new(self.origins.get("http.listen").cloned(), text));
            }
            seen.push(address);
        }
        if let Some(metrics) =
            http.metrics_listen.filter(|metrics| metrics.port() != 0 && http.listen.contains(metrics))
        {
            let text = format!("http.metrics_listen = \"{metrics}\": it is one of http.listen");
            let problem = Problem::new(self.origins.get("http.metrics_listen").cloned(), text);
            self.problems.push(problem.with_help("write another port, or leave it out: metrics are there already"));
        }
        let lonely = match (&http.certificate, &http.key) {
            (Some(_), None) => Some(("http.certificate", "http.key")),
            (None, Some(_)) => Some(("http.key", "http.certificate")),
            _ => None,
        };
        if let Some((given, missing)) = lonely {
            let problem =
                Problem::new(self.origins.get(given).cloned(), format!("{given} is of no use without {missing}"));
            self.problems.push(problem.with_help("give both, or neither for a certificate that the server makes"));
        }
    }

    fn images(&mut self) {
        if self.settings.content.images.is_none() && !self.settings.pxe.enabled {
            let problem = Problem::new(None, "content.images is missing");
            self.problems.push(problem.with_help("write images = … under [content]: folder of images"));
        }
        let mut names = HashMap::new();
        for (number, image) in self.settings.images.iter_mut().enumerate() {
            let label = label("image", number);
            let origin = |key: &str| self.origins.get(&format!("{label}{key}")).cloned();
            let here = origin("");
            if origin("file").is_some() && origin("files").is_some() {
                let problem = Problem::new(origin("files"), "image.file and image.files exclude each other");
                self.problems.push(problem.with_help("write files = [\"first\", \"second\"] for several parts"));
            } else if origin("file").or(origin("files")).is_none() {
                let problem = Problem::new(here.clone(), "image.file is missing");
                self.problems
                    .push(problem.with_help("write file = … under [[image]]: the image, below content.images"));
            }
            if let (None, Some(file)) = (origin("name"), image.files.first()) {
                let file = file.file_name().unwrap_or_default().to_string_lossy();
                match amounts::name(&file) {
                    Ok(name) => image.name = name,
                    Err(error) => {
                        let problem = Problem::new(here.clone(), format!("image.name by its file: {error}"));
                        self.problems.push(problem.with_help("write name = … under [[image]]"));
                    }
                }
            }
            if image.name.is_empty() {
                continue;
            }
            if let Some(first) = names.insert(image.name.clone(), here.clone()) {
                let problem = Problem::new(origin("name").or(here), format!("image {:?} is there twice", image.name));
                self.problems.push(problem.with_help(first_one(first.as_ref())));
            }
        }
    }

    fn tokens(&mut self) {
        let mut names = HashMap::new();
        for (number, token) in self.settings.tokens.iter().enumerate() {
            let label = label("token", number);
            let origin = |key: &str| self.origins.get(&format!("{label}{key}")).cloned();
            match (origin("token"), origin("token_file")) {
                (Some(_), Some(file)) => {
                    let problem = Problem::new(file, "token.token and token.token_file exclude each other");
                    self.problems.push(problem.with_help("keep the file: settings are shown and copied more easily"));
                }
                (None, None) => {
                    let problem = Problem::new(origin(""), "token.token_file is missing");
                    self.problems
                        .push(problem.with_help("write token_file = … under [[token]]: a file with the token"));
                }
                _ => {}
            }
            if token.name.is_empty() {
                continue;
            }
            if let Some(first) = names.insert(&token.name, origin("")) {
                let problem = Problem::new(origin("name"), format!("token {:?} is there twice", token.name));
                self.problems.push(problem.with_help(first_one(first.as_ref())));
            }
        }
    }

    /// Which of two keys that mean the same was said by the stronger source; the other one is forgotten. Said by the
    /// same one they are a contradiction.
    fn stronger(&mut self, first: &'static str, second: &'static str) -> Option<&'static str> {
        let ranks = [first, second].map(|key| self.origins.get(key).map_or(0, rank));
        let (winner, loser) = match ranks {
            [a, b] if a > b => (first, second),
            [a, b] if a < b => (second, first),
            _ => {
                let text = format!("{second} and {first} exclude each other");
                let problem = Problem::new(self.origins.get(second).cloned(), text);
                self.problems.push(problem.with_help(first_one(self.origins.get(first))));
                return None;
            }
        };
        self.origins.remove(loser);
        Some(winner)
    }
}

fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::File { .. } => 1,
        Origin::Environment(_) => 2,
        Origin::Flag(_) => 3,
    }
}

fn first_one(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| "names are given once".to_owned(), |origin| format!("the first one stands at {origin}"))
}

/// What is allowed and yet probably not meant.
pub(super) fn warnings(settings: &Settings, origins: &Origins, around: &Surroundings) -> Vec<String> {
    let mut warnings = Vec::new();
    let said = |prefix: &str| origins.keys().any(|key| key.starts_with(prefix));
    if said("multicast.madcap.") && !matches!(settings.multicast.address, AddressSource::Madcap) {
        warnings.push("[multicast.madcap] has no effect: multicast.address is not \"madcap\"".to_owned());
    }
    if let AddressSource::Pool(pool) = &settings.multicast.address
        && let Ok(only) = pool.to_string().parse::<IpAddr>()
        && let Some(warning) = address::warning(only)
    {
        warnings.push(format!("multicast.address: {warning}"));
    }
    if said("site.account.") && !matches!(settings.site.database, Database::Postgres(_)) {
        warnings.push("[site.account] has no effect: site.database is no PostgreSQL".to_owned());
    }
    if let (Some(custom), Some(total)) = (settings.rate.custom, settings.rate.total)
        && custom > total
    {
        warnings.push(format!("rate.custom is {custom}, but no session gets more than rate.total, {total}"));
    }
    let beyond = settings.http.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
    if let (Some(address), true) = (beyond, settings.tokens.is_empty()) {
        warnings.push(format!("the API's admin side at {address} stays off until there is a [[token]]"));
    }
    pxe::warnings(settings, origins, &mut warnings);
    for image in &settings.images {
        if image.multicast == MulticastUse::Only && !settings.multicast.enabled {
            warnings.push(format!("image {:?} is not served: it is for multicast only, which is off", image.name));
        }
    }
    let images =
        settings.images.iter().filter_map(|image| Some((image.start.as_ref()?, format!("image {:?}", image.name))));
    for (schedule, whose) in std::iter::once((&settings.start, "[start]".to_owned())).chain(images) {
        if let Some(at) = schedule.at.filter(|at| at.is_over(&around.now)) {
            warnings.push(format!("{whose}: {at} has passed, so the first client starts a session"));
        }
    }
    warnings
}
