//! The settings as they are, key by key: for `--check-config`, and to compare two of them.

use std::fmt::Write as _;

use super::fill::{Origins, label};
use super::kind::{Key, Preset, Reload, Shown};
use super::pxe::{self, Network};
use super::schedule::Schedule;
use super::schema;
use super::settings::{Image, Settings, Token};

/// A key and what it is set to.
pub(super) struct Entry {
    /// In front of the path: nothing, or `image[0].`.
    pub(super) label: String,
    pub(super) path: String,
    /// None: not set, which means `unset`.
    pub(super) shown: Option<Shown>,
    pub(super) unset: &'static str,
    pub(super) reload: Reload,
}

/// All keys outside of lists, in the schema's order.
pub(super) fn entries(settings: &Settings) -> Vec<Entry> {
    let mut entries = of(schema::settings(), settings, "", "");
    entries.extend(of_schedule(&settings.start, ""));
    entries
}

/// Those of the image of this number.
pub(super) fn image_entries(number: usize, image: &Image) -> Vec<Entry> {
    let label = label("image", number);
    let mut entries = of(schema::IMAGE, image, &label, "");
    if let Some(schedule) = &image.start {
        entries.extend(of_schedule(schedule, &label));
    }
    entries
}

/// Those of the token of this number.
pub(super) fn token_entries(number: usize, token: &Token) -> Vec<Entry> {
    of(schema::TOKEN, token, &label("token", number), "")
}

fn of_schedule(schedule: &Schedule, label: &str) -> Vec<Entry> {
    of(schema::SCHEDULE, schedule, label, &format!("{}.", schema::START))
}

/// Those of the network of this number.
pub(super) fn network_entries(number: usize, network: &Network) -> Vec<Entry> {
    of(pxe::NETWORK, network, &label(pxe::NETWORKS, number), "")
}

fn of<S: 'static>(
    keys: impl IntoIterator<Item = &'static Key<S>>,
    source: &S,
    label: &str,
    prefix: &str,
) -> Vec<Entry> {
    let entry = |key: &Key<S>| Entry {
        label: label.to_owned(),
        path: format!("{prefix}{}", key.path),
        shown: (key.show)(source),
        unset: if let Preset::None(meaning) = key.preset { meaning } else { "" },
        reload: key.reload,
    };
    keys.into_iter().map(entry).collect()
}

/// All settings as a file that could be read again, but for secrets, and behind each where it comes from.
pub(super) fn describe(settings: &Settings, origins: &Origins) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for entry in entries(settings) {
        let (here, name) = super::suggest::split(&entry.path);
        if here != section {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{}[{here}]", if text.is_empty() { "" } else { "\n" });
            here.clone_into(&mut section);
        }
        // A password that came out of a file is not in the settings.
        let from_file = entry.path == "site.account.password" && settings.site.account.password_file.is_some();
        line(&mut text, name, &entry, origins, !from_file);
    }
    for (number, network) in settings.pxe.networks.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = writeln!(text, "\n[[{}]]", pxe::NETWORKS);
        for entry in network_entries(number, network) {
            line(&mut text, &entry.path, &entry, origins, entry.shown.is_some());
        }
    }
    for (number, image) in settings.images.iter().enumerate() {
        text.push_str("\n[[image]]\n");
        for entry in image_entries(number, image) {
            line(&mut text, &entry.path, &entry, origins, entry.shown.is_some());
        }
    }
    for (number, token) in settings.tokens.iter().enumerate() {
        text.push_str("\n[[token]]\n");
        for entry in token_entries(number, token) {
            let from_file = entry.path == "token" && token.token_file.is_some();
            line(&mut text, &entry.path, &entry, origins, entry.shown.is_some() && !from_file);
        }
    }
    text
}

impl Settings {
    /// All settings with their values, as the file would have them; secrets hidden, lists of tables left out.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let value = |entry: &Entry| entry.shown.as_ref().map_or_else(|| entry.unset.to_owned(), ToString::to_string);
        entries(self).into_iter().map(|entry| (entry.path.clone(), value(&entry))).collect()
    }
}

fn line(text: &mut String, name: &str, entry: &Entry, origins: &Origins, wanted: bool) {
    let origin = origins.get(&format!("{}{}", entry.label, entry.path));
    let origin = origin.map_or_else(|| "default".to_owned(), ToString::to_string);
    let _ = match &entry.shown {
        _ if !wanted => Ok(()),
        Some(shown) => writeln!(text, "{:<39} # {origin}", format!("{name} = {shown}")),
        None => writeln!(text, "{:<39} # {origin}", format!("# {name}: {}", entry.unset)),
    };
}
