//! The files in `docs/examples`, and the schema's own soundness.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::config::document::Element;
use crate::config::input::{Data, Input};
use crate::config::kind::{Key, Preset};

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// The example with all that is commented out taken in.
fn whole() -> Document {
    let text = example("server.toml");
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(|rest| is_setting(rest)).unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut problems = Vec::new();
    let document = Document::parse(Path::new("server.toml"), Path::new("/root"), &text, &mut problems);
    assert_eq!(problems, []);
    document.unwrap()
}

#[test]
fn the_example_as_it_stands_is_the_defaults() {
    let example = loaded(&example("server.toml"));
    assert_eq!(Settings::changes(&loaded(LEAST).settings, &example.settings).apply, []);
    let differs = Settings::changes(&loaded(LEAST).settings, &example.settings).restart;
    assert_eq!(differs.into_iter().map(|change| change.key).collect::<Vec<_>>(), ["content.images"]);
    assert_eq!(example.warnings, [""; 0]);
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let whole = whole();
    let paths = |element: &Element| element.values.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(whole.values.keys().cloned().collect::<BTreeSet<_>>(), BTreeSet::from_iter(schema::paths()));
    assert_eq!(whole.images.iter().map(paths).collect::<Vec<_>>(), [BTreeSet::from_iter(schema::paths_of("image"))]);
    assert_eq!(whole.tokens.iter().map(paths).collect::<Vec<_>>(), [BTreeSet::from_iter(schema::paths_of("token"))]);
    assert_eq!(
        whole.networks.iter().map(paths).collect::<Vec<_>>(),
        [BTreeSet::from_iter(schema::paths_of("pxe.network"))]
    );
    compare(schema::settings(), "", &whole.values);
    compare(pxe::NETWORK, "", &whole.networks[0].values);
    compare(schema::SCHEDULE, "start.", &whole.values);
    compare(schema::IMAGE, "", &whole.images[0].values);
    compare(schema::SCHEDULE, "start.", &whole.images[0].values);
    compare(schema::TOKEN, "", &whole.tokens[0].values);
}

/// Every value can be read, and is the default where there is a fixed one.
fn compare<S: Default + 'static>(
    keys: impl IntoIterator<Item = &'static Key<S>>,
    prefix: &str,
    values: &document::Values,
) {
    for key in keys {
        let path = format!("{prefix}{}", key.path);
        let leaf = &values[&path];
        let read = |data: &Data| {
            let mut target = S::default();
            (key.read)(&mut target, &Input { data, base: &leaf.base }, &key.kind)
                .unwrap_or_else(|wrong| panic!("{path}: {wrong:?}"));
            (key.show)(&target)
        };
        let shown = read(&leaf.data);
        assert!(shown.is_some(), "{path}");
        if let Preset::Value(preset) = key.preset {
            assert_eq!(shown, read(&Data::Word(preset.to_owned())), "{path}");
        }
    }
}

#[test]
fn every_value_is_copied_by_its_key() {
    let old = loaded(LEAST).settings;
    let (whole, problems) = {
        let mut problems = Vec::new();
        let mut origins = Origins::new();
        let around = around();
        let mut filler = Filler { around: &around, problems: &mut problems, origins: &mut origins };
        (filler.settings(&[whole()]), problems)
    };
    assert_eq!(problems, []);
    let mut copy = old.clone();
    for key in schema::settings() {
        (key.copy)(&mut copy, &whole);
        assert_eq!((key.show)(&copy), (key.show)(&whole), "{}", key.path);
    }
}

#[test]
fn the_loopback_example_is_sound() {
    let loopback = loaded(&example("loopback.toml"));
    assert_eq!(loopback.warnings, [""; 0]);
    assert_eq!(loopback.settings.server.interface.as_deref(), Some("lo"));
    // With the folders that it names.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let arguments = ServeArguments { config: Some(folder.join("loopback.toml")), ..ServeArguments::default() };
    let images = Loaded::load(&arguments, &around()).unwrap().settings.content.images.unwrap();
    assert!(images.join("architecture.md").is_file(), "{images:?}");
}

#[test]
fn the_defaults_are_those_of_the_engine_and_of_send() {
    let settings = loaded(LEAST).settings;
    assert_eq!(settings.clients.slow.ladder, multicast_core::sender::LadderConfig::default());
    assert_eq!(settings.clients.slow.pace, multicast_core::pace::AdaptConfig::default());
    assert_eq!(settings.server.control_port, multicast_core::engine::DEFAULT_CONTROL_PORT);
    assert_eq!(settings.multicast.ports, multicast_core::address::DEFAULT_PORTS);
    assert_eq!(settings.start.policy(&jiff::ZonedDateTime::now()), multicast_core::sender::StartPolicy::default());
    assert_eq!(settings.cache_place(), multicast_core::manifest::CachePlace::Folder("/var/lib/mcast/manifests".into()));
    assert_eq!(settings.site.sqlite_file(), Some("/var/lib/mcast/site.sqlite".into()));
    assert!(settings.rate.adapts() && settings.rate.profile().is_none());
    let tls = ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "10.0.0.1:1", "[::]:1"];
    assert_eq!(tls.map(|address| settings.tls_at(address.parse().unwrap())), [false, false, false, true, true]);
}
