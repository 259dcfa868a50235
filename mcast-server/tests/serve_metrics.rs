//! Metrics as OpenMetrics has them (version 1.0), read by a small checker of our own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::http::ask;
use support::point::{METRICS, Port, Site, until};

/// A sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads an exposition, or says what is wrong with it.
fn read(text: &str) -> Result<Vec<Sample>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with EOF")?;
    let (mut types, mut seen, mut samples) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    let mut last = String::new();
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.splitn(3, ' ');
            let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let rest = words.next().ok_or_else(|| format!("nothing is said in {line:?}"))?;
            match what {
                "TYPE" if ["gauge", "counter"].contains(&rest) => drop(types.insert(name.to_owned(), rest.to_owned())),
                "HELP" if !rest.is_empty() => {}
                "UNIT" if name.ends_with(&format!("_{rest}")) => {}
                _ => return Err(format!("odd: {line:?}")),
            }
            if name != last && !seen.insert(name.to_owned()) {
                return Err(format!("{name} stands in two places"));
            }
            name.clone_into(&mut last);
            continue;
        }
        let (name, labels, value) = sample(line).ok_or_else(|| format!("no sample: {line:?}"))?;
        let family =
            if types.get(&last).is_some_and(|kind| kind == "counter") { format!("{last}_total") } else { last.clone() };
        if name != family || !types.contains_key(&last) {
            return Err(format!("{name} stands among those of {last}"));
        }
        if samples.iter().any(|(other, of, _)| (other, of) == (&name, &labels)) {
            return Err(format!("twice: {line:?}"));
        }
        samples.push((name, labels, value));
    }
    Ok(samples)
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"")?;
            let mut text = String::new();
            let mut chars = value.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => text.push(match chars.next()?.1 {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        _ => return None,
                    }),
                    (_, c) => text.push(c),
                }
            };
            if !is_name(label) || labels.insert(label.to_owned(), text).is_some() {
                return None;
            }
            rest = &value[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ')?.parse::<f64>().ok()?;
    (is_name(name) && value.is_finite()).then(|| (name.to_owned(), labels, value))
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let sound =
        "# HELP a A.\n# TYPE a counter\na_total{x=\"y \\\"z\\\"\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2.5\n# EOF\n";
    assert_eq!(read(sound).unwrap().len(), 2);
    let changes = [
        ("# EOF\n", ""),
        ("a_total{", "a{"),
        ("\\\"z\\\"", "\"z\""),
        ("b 2.5", "b NaN"),
        ("b 2.5", "b 1\nb 2"),
        ("x=", "2x="),
        ("b 2.5", "b2.5"),
        ("# TYPE b gauge\n", ""),
    ];
    for (from, to) in changes {
        assert!(read(&sound.replacen(from, to, 1)).is_err(), "{from:?} as {to:?}");
    }
}

#[test]
fn metrics_are_sound_and_their_labels_bounded() {
    let mut site = Site::new();
    let own = Port::free();
    site.set("http.metrics_listen", &format!("\"127.0.0.1:{}\"", own.number)).set("session.linger", "\"0s\"");
    let odd = "odd \"name\" ä{}.img";
    site.table(&format!("[[image]]\nfile = '{odd}'\nstart.clients = 3\n"));
    let content = site.image(odd, 500_000, 1);
    site.image("empty.img", 0, 2);
    let point = site.start();
    let metrics = || {
        let own = std::net::SocketAddr::from(([127, 0, 0, 1], own.number));
        let bearer = format!("Bearer {METRICS}");
        let answer = ask(own, "GET", "/metrics", &[("Authorization", &bearer)], b"").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        read(&answer.text()).unwrap_or_else(|problem| panic!("{problem} in:\n{}", answer.text()))
    };
    let value = |samples: &[Sample], name: &str, label: Option<(&str, &str)>| {
        let is = |(other, labels, _): &&Sample| {
            other == name && label.is_none_or(|(label, value)| labels.get(label).is_some_and(|other| other == value))
        };
        samples.iter().find(is).unwrap_or_else(|| panic!("no {name} {label:?}: {samples:#?}")).2
    };
    point.image(odd, "ready");
    point.image("empty.img", "broken");
    let before = metrics();
    assert_eq!(value(&before, "mcast_images", Some(("state", "ready"))), 1.0);
    assert_eq!(value(&before, "mcast_images", Some(("state", "broken"))), 1.0);
    assert_eq!(value(&before, "mcast_sessions_running", None), 0.0);
    assert_eq!(value(&before, "mcast_database_reachable", None), 1.0);

    let guests = [site.client(odd, 1), site.client(odd, 2)];
    guests.iter().for_each(|guest| _ = guest.joined());
    let waiting = until("both in the metrics", || {
        let samples = metrics();
        let active =
            samples.iter().find(|(name, labels, _)| name == "mcast_session_clients" && labels["state"] == "active");
        active.is_some_and(|(_, labels, value)| labels["image"] == odd && *value == 2.0).then_some(samples)
    });
    // What a label may say is known beforehand, or stands for a session that runs; no client is one.
    for (name, labels, _) in &waiting {
        for (label, value) in labels {
            let bounded = match label.as_str() {
                "state" => {
                    ["settling", "hashing", "ready", "broken", "active", "complete", "failed"].contains(&value.as_str())
                }
                "session" | "image" => name.starts_with("mcast_session_"),
                _ => false,
            };
            assert!(bounded, "{name} {label} {value}");
        }
    }
    let third = site.client(odd, 3);
    for guest in guests.into_iter().chain([third]) {
        guest.check(&content);
    }
    let after = until("the session's end in the metrics", || {
        let samples = metrics();
        (value(&samples, "mcast_sessions_ended_total", None) == 1.0).then_some(samples)
    });
    assert_eq!(value(&after, "mcast_deliveries_complete_total", None), 3.0);
    assert_eq!(value(&after, "mcast_deliveries_failed_total", None), 0.0);
    assert!(value(&after, "mcast_sent_bytes_total", None) > 500_000.0);
    assert!(value(&after, "mcast_feedback_bytes_total", None) > 0.0);
    assert!(after.iter().all(|(name, _, _)| !name.starts_with("mcast_session_")), "its series end with it");
    // The main listener has them, too; the other one has nothing else.
    assert!(read(&point.get("/metrics").text()).is_ok());
    let other = ask(([127, 0, 0, 1], own.number).into(), "GET", "/api/v1/health", &[], b"").unwrap();
    assert_eq!(other.status, 404);
}
