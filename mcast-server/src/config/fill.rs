//! From what the sources say to settings: for each key the value of the last source that has one, or the default.

use std::collections::BTreeMap;

use super::document::{Document, Element, Leaf, Values};
use super::error::{Origin, Problem};
use super::input::{Data, Input};
use super::kind::{Key, Kind, Preset};
use super::pxe::{self, Network};
use super::schedule::Schedule;
use super::settings::{Image, Settings, Token};
use super::surroundings::Surroundings;
use super::{forms, schema};

/// Letters of a wrong value that an error repeats.
const SHOWN: usize = 100;

/// Where each setting comes from, by its label: `rate.total`, `image[0].name`, and `image[0].` for where the table
/// begins. What is not in it is the default; a value that was refused is in it.
pub(super) type Origins = BTreeMap<String, Origin>;

/// Takes values key by key, and collects what is wrong with them.
pub(super) struct Filler<'a> {
    pub(super) around: &'a Surroundings,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) origins: &'a mut Origins,
}

/// Where the keys of one table are found, and what they are called.
struct Place<'a> {
    /// In front of a key's own path among the values.
    prefix: &'a str,
    /// In front of that among the origins.
    label: &'a str,
    /// And in errors.
    name: &'a str,
    /// Where the table begins, for what is missing in it.
    origin: Option<&'a Origin>,
}

impl Filler<'_> {
    /// Settings out of `layers`, of which a later one goes before an earlier one. Every value is checked, also one
    /// that is not used: it would be when the other one is taken away.
    pub(super) fn settings(&mut self, layers: &[Document]) -> Settings {
        let values = layers.iter().map(|layer| &layer.values).collect::<Vec<_>>();
        let mut settings = Settings::default();
        let top = Place { prefix: "", label: "", name: "", origin: None };
        self.keys(schema::settings(), &values, &top, &mut settings);
        self.schedule(&values, &top, &mut settings.start);
        for layer in layers {
            settings.images.extend(layer.images.iter().enumerate().map(|(number, image)| self.image(number, image)));
            settings.tokens.extend(layer.tokens.iter().enumerate().map(|(number, token)| self.token(number, token)));
            let networks = layer.networks.iter().enumerate();
            settings.pxe.networks.extend(networks.map(|(number, network)| self.network(number, network)));
        }
        settings
    }

    fn image(&mut self, number: usize, element: &Element) -> Image {
        let label = label("image", number);
        let place = Place { prefix: "", label: &label, name: "image.", origin: Some(&element.origin) };
        let mut image = Image::default();
        self.keys(schema::IMAGE, &[&element.values], &place, &mut image);
        if element.values.keys().any(|path| path.starts_with(schema::START)) {
            let mut schedule = Schedule::default();
            self.schedule(&[&element.values], &place, &mut schedule);
            image.start = Some(schedule);
        }
        self.origins.insert(label, element.origin.clone());
        image
    }

    fn token(&mut self, number: usize, element: &Element) -> Token {
        let label = label("token", number);
        let place = Place { prefix: "", label: &label, name: "token.", origin: Some(&element.origin) };
        let mut token = Token::default();
        self.keys(schema::TOKEN, &[&element.values], &place, &mut token);
        self.origins.insert(label, element.origin.clone());
        token
    }

    fn network(&mut self, number: usize, element: &Element) -> Network {
        let label = label(pxe::NETWORKS, number);
        let name = format!("{}.", pxe::NETWORKS);
        let place = Place { prefix: "", label: &label, name: &name, origin: Some(&element.origin) };
        let mut network = Network::default();
        self.keys(pxe::NETWORK, &[&element.values], &place, &mut network);
        self.origins.insert(label, element.origin.clone());
        network
    }

    fn schedule(&mut self, values: &[&Values], place: &Place<'_>, schedule: &mut Schedule) {
        let prefix = format!("{}.", schema::START);
        self.keys(schema::SCHEDULE, values, &Place { prefix: &prefix, ..*place }, schedule);
    }

    fn keys<S: 'static>(
        &mut self,
        keys: impl IntoIterator<Item = &'static Key<S>>,
        values: &[&Values],
        place: &Place<'_>,
        target: &mut S,
    ) {
        for key in keys {
            let path = format!("{}{}", place.prefix, key.path);
            // Also where a value follows: it may be refused, and what looks at the whole wants something sound.
            let has_preset = self.preset(key, target);
            let mut leaves = values.iter().filter_map(|values| values.get(&path)).peekable();
            if !has_preset && leaves.peek().is_none() {
                self.problems.push(missing(key, &path, place));
            }
            for leaf in leaves {
                self.origins.insert(format!("{}{path}", place.label), leaf.origin.clone());
                if let Err(problem) = read(key, leaf, target) {
                    let text = format!("{}{path}{}", place.name, problem.text);
                    self.problems.push(Problem { text, ..problem });
                }
            }
        }
    }

    /// Takes the default of a key, and says whether it can be left out.
    fn preset<S>(&self, key: &Key<S>, target: &mut S) -> bool {
        let text = match key.preset {
            Preset::None(_) => return true,
            Preset::Required => return false,
            Preset::Value(text) => Some(text.to_owned()),
            Preset::Host => Some(self.around.host_name.clone()),
            Preset::State => self.around.state.as_ref().map(|folder| folder.display().to_string()),
        };
        text.is_some_and(|text| {
            let input = Input { data: &Data::Word(text), base: self.around.folder.as_path() };
            (key.read)(target, &input, &key.kind).is_ok()
        })
    }
}

fn read<S>(key: &Key<S>, leaf: &Leaf, target: &mut S) -> Result<(), Problem> {
    let input = Input { data: &leaf.data, base: leaf.base.as_path() };
    (key.read)(target, &input, &key.kind).map_err(|wrong| {
        let text = format!(" = {}: {}", shown(&key.kind, &leaf.data), wrong.reason);
        let help = wrong.help.unwrap_or_else(|| format!("write {}", key.kind));
        Problem::new(leaf.origin.clone(), text).with_help(help)
    })
}

fn missing<S>(key: &Key<S>, path: &str, place: &Place<'_>) -> Problem {
    let (section, name) = super::suggest::split(path);
    let table = match place.name {
        "" => format!("[{section}]"),
        list => format!("[[{}]]", list.trim_end_matches('.')),
    };
    let problem = Problem::new(place.origin.cloned(), format!("{}{path} is missing", place.name));
    problem.with_help(format!("write {name} = … under {table}: {}", key.help))
}

/// What stands in front of the keys of an element: `image[0].`.
pub(super) fn label(list: &str, number: usize) -> String {
    format!("{list}[{number}].")
}

/// A wrong value as an error repeats it.
fn shown(kind: &Kind, data: &Data) -> String {
    let text = data.show();
    if matches!(kind, Kind::Secret) || forms::may_hold_password(&text) {
        return "(not shown)".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
