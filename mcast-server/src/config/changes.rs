//! What a reload changes, and what of it has to wait for a restart.

use std::collections::HashMap;
use std::fmt;

use super::kind::{Reload, Shown};
use super::pxe;
use super::schema;
use super::settings::Settings;
use super::show::{self, Entry};

/// What differs between two settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// What applies at once, or to sessions that are opened from now on.
    pub(crate) apply: Vec<Change>,
    /// What applies at the next start.
    pub(crate) restart: Vec<Change>,
}

impl Changes {
    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.apply.is_empty() && self.restart.is_empty()
    }
}

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// `rate.total`, `image "win11.wim"`, `image "win11.wim" priority`.
    pub(crate) key: String,
    /// None: it was not set, or not there.
    pub(crate) from: Option<Shown>,
    pub(crate) to: Option<Shown>,
    pub(crate) reload: Reload,
}

/// `rate.custom: "400mbit" → "200mbit" (in sessions opened from now on)`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |shown: &Option<Shown>| shown.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let when = match self.reload {
            Reload::Now => "at once",
            Reload::Sessions => "in sessions opened from now on",
            Reload::Restart => "at the next start",
        };
        match (&self.from, &self.to) {
            // All that can be said of a secret is that it is another one.
            (Some(Shown::Secret(_)), Some(Shown::Secret(_))) => write!(f, "{}: changed ({when})", self.key),
            (from, to) => write!(f, "{}: {} → {} ({when})", self.key, shown(from), shown(to)),
        }
    }
}

impl Settings {
    /// What a reload from `old` to `new` changes. Images and tokens are the same if their names are,
    /// networks of `[pxe]` if they are the same network.
    pub(crate) fn changes(old: &Self, new: &Self) -> Changes {
        let before = table(old);
        let after = table(new);
        let old_values = before.iter().map(|(name, value)| (name, value)).collect::<HashMap<_, _>>();
        let new_values = after.iter().map(|(name, value)| (name, value)).collect::<HashMap<_, _>>();
        let mut changes = Changes::default();
        for (name, (to, reload)) in &after {
            let from = old_values.get(name).and_then(|(from, _)| from.clone());
            // Of what is new as a whole the first line says enough.
            if from != *to && name.whole().is_none_or(|whole| old_values.contains_key(&whole)) {
                changes.add(name, from, to.clone(), *reload);
            }
        }
        for (name, (from, reload)) in before.iter().filter(|(name, _)| !new_values.contains_key(name)) {
            if from.is_some() && name.whole().is_none_or(|whole| new_values.contains_key(&whole)) {
                changes.add(name, from.clone(), None, *reload);
            }
        }
        changes
    }

    /// These settings with what of `new` applies without a restart.
    pub(crate) fn with_applicable(&self, new: &Self) -> Self {
        let mut settings = self.clone();
        for key in schema::settings().filter(|key| key.reload != Reload::Restart) {
            (key.copy)(&mut settings, new);
        }
        for key in schema::SCHEDULE.iter().filter(|key| key.reload != Reload::Restart) {
            (key.copy)(&mut settings.start, &new.start);
        }
        settings.images.clone_from(&new.images);
        settings.tokens.clone_from(&new.tokens);
        settings
    }
}

impl Changes {
    fn add(&mut self, key: &Name, from: Option<Shown>, to: Option<Shown>, reload: Reload) {
        let change = Change { key: key.to_string(), from, to, reload };
        match reload {
            Reload::Restart => self.restart.push(change),
            Reload::Now | Reload::Sessions => self.apply.push(change),
        }
    }
}

/// A key, and the image, network or token that it is of; without a name that itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    owner: Option<String>,
    name: String,
}

impl Name {
    /// What it is a part of.
    fn whole(&self) -> Option<Self> {
        let is_part = self.owner.is_some() && !self.name.is_empty();
        is_part.then(|| Self { owner: self.owner.clone(), name: String::new() })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.owner, self.name.as_str()) {
            (None, name) => f.write_str(name),
            (Some(owner), "") => f.write_str(owner),
            (Some(owner), name) => write!(f, "{owner} {name}"),
        }
    }
}

/// All keys with their values, in the schema's order.
fn table(settings: &Settings) -> Vec<(Name, (Option<Shown>, Reload))> {
    let row = |owner: Option<&String>, entry: Entry| {
        (Name { owner: owner.cloned(), name: entry.path }, (entry.shown, entry.reload))
    };
    let mut table = show::entries(settings).into_iter().map(|entry| row(None, entry)).collect::<Vec<_>>();
    for (number, image) in settings.images.iter().enumerate() {
        let owner = format!("image {:?}", image.name);
        let files = image.files.iter().map(|file| file.display().to_string()).collect();
        table.push((
            Name { owner: Some(owner.clone()), name: String::new() },
            (Some(Shown::List(files)), Reload::Sessions),
        ));
        // Its files have just been said, its name too.
        let entries = show::image_entries(number, image).into_iter();
        let others = entries.filter(|entry| !["name", "file", "files"].contains(&entry.path.as_str()));
        table.extend(others.map(|entry| row(Some(&owner), entry)));
    }
    for (number, network) in settings.pxe.networks.iter().enumerate() {
        let owner = format!("{} {}", pxe::NETWORKS, network.network);
        let entries = show::network_entries(number, network);
        let pool = entries.iter().find(|entry| entry.path == "pool").and_then(|entry| entry.shown.clone());
        table.push((Name { owner: Some(owner.clone()), name: String::new() }, (pool, Reload::Restart)));
        let others = entries.into_iter().filter(|entry| !["network", "pool"].contains(&entry.path.as_str()));
        table.extend(others.map(|entry| row(Some(&owner), entry)));
    }
    for (number, token) in settings.tokens.iter().enumerate() {
        let owner = format!("token {:?}", token.name);
        let entries = show::token_entries(number, token);
        let role = entries.iter().find(|entry| entry.path == "role").and_then(|entry| entry.shown.clone());
        table.push((Name { owner: Some(owner.clone()), name: String::new() }, (role, Reload::Now)));
        let others = entries.into_iter().filter(|entry| !["name", "role"].contains(&entry.path.as_str()));
        table.extend(others.map(|entry| row(Some(&owner), entry)));
    }
    table
}
