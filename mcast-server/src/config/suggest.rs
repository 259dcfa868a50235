//! "Did you mean": what was probably meant by a name that nobody knows.

/// How alike two names must be, from 0 to 1: one letter wrong of three, two of six.
const ALIKE: f64 = 0.65;

/// The one of `known` that is most like `name`, if one is.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normal(name);
    let alike = |other: &str| strsim::normalized_damerau_levenshtein(&name, &normal(other));
    let best = known.into_iter().map(|other| (alike(other), other)).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// The path of `known` that was probably meant by `path`: the same name in another section, or one that is
/// nearly the same.
pub(super) fn nearest_path<'a>(path: &str, known: &[&'a str]) -> Option<&'a str> {
    let (section, name) = split(path);
    let siblings = known.iter().copied().filter(|other| split(other).0 == section);
    if let Some(sibling) = nearest(name, siblings.clone().map(|other| split(other).1)) {
        return siblings.into_iter().find(|other| split(other).1 == sibling);
    }
    let mut namesakes = known.iter().copied().filter(|other| normal(split(other).1) == normal(name));
    match (namesakes.next(), namesakes.next()) {
        (Some(only), None) => Some(only),
        // The section is right, and nothing in it is like it.
        _ if known.iter().any(|other| split(other).0 == section) => None,
        // Of several the one in the likest section.
        _ => nearest(path, known.iter().copied()),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// The section of a path and its last name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// Nobody means another key by a hyphen or a capital.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let known = ["queue", "unicast"];
        assert_eq!(nearest("queu", known), Some("queue"));
        assert_eq!(nearest("Unicast", known), Some("unicast"));
        assert_eq!(nearest("multicast", known), Some("unicast"));
        assert_eq!(nearest("reject", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn a_path_is_sought_in_its_section_and_then_elsewhere() {
        let known = ["rate.total", "rate.network", "http.listen", "site.name", "server.name"];
        assert_eq!(nearest_path("rate.totl", &known), Some("rate.total"));
        assert_eq!(nearest_path("server.listen", &known), Some("http.listen"));
        assert_eq!(nearest_path("rates.total", &known), Some("rate.total"));
        assert_eq!(nearest_path("sites.name", &known), Some("site.name"));
        assert_eq!(nearest_path("listen", &known), Some("http.listen"));
        assert_eq!(nearest_path("rate.colour", &known), None);
    }

    #[test]
    fn choices_are_a_sentence() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([&words[..1], &words[..2], &words].map(either), ["a", "a or b", "a, b or c"]);
    }
}
