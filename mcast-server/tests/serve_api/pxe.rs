//! What is asked of the PXE service point: of a server that boots no machines, and of one that does.

use super::support::point::{METRICS, OPERATOR, VIEWER};
use super::{Case, case};

const POLICY: &str = "/api/v1/pxe/policy";
const COMPUTERS: &str = "/api/v1/pxe/computers";
const COMPUTER: &str = "/api/v1/pxe/computers/{name}";
const DEPLOYMENTS: &str = "/api/v1/pxe/deployments";
const DEPLOYMENT: &str = "/api/v1/pxe/deployments/{name}";
const AGAIN: &str = "/api/v1/pxe/deployments/{name}/again";
const MOVE: &str = "/api/v1/pxe/deployments/{name}/move";
const IMAGES: &str = "/api/v1/pxe/images";
const IMAGE: &str = "/api/v1/pxe/images/{name}";
const LEASE: &str = "/api/v1/pxe/leases/{address}";
const LOG: &str = "/api/v1/pxe/log";

/// Tried where a machine boots (`serve_pxe.rs`), or of 16 GiB, or of two servers that give addresses.
pub(super) const ELSEWHERE: [&str; 4] = [
    "post /pxe/v1/hello 200",
    "delete /api/v1/pxe/leases/{address} 200",
    "delete /api/v1/pxe/leases/{address} 409",
    "put /api/v1/pxe/images/{name} 413",
];

/// A script for iPXE is a boot image; nothing else that is so short is one.
const SCRIPT: &str = "#!ipxe\necho hello\n";

/// Of every server of a site.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let seen = ["/api/v1/pxe", COMPUTERS, DEPLOYMENTS, "/api/v1/pxe/leases", LOG];
    for path in seen {
        cases.push(case("GET", path, path, Some(VIEWER), 200));
    }
    for path in seen.into_iter().chain([IMAGES, "/api/v1/pxe/machines", "/api/v1/pxe/check"]) {
        cases.push(case("GET", path, path, None, 401));
        cases.push(case("GET", path, path, Some(METRICS), 403));
    }
    cases.extend([
        case("GET", LOG, "/api/v1/pxe/log?limit=5&mac=52-54-00-00-00-01", Some(VIEWER), 200),
        case("GET", LOG, "/api/v1/pxe/log?limit=0", Some(VIEWER), 400),
        case("GET", LOG, "/api/v1/pxe/log?mac=x", Some(VIEWER), 422),
        case("GET", IMAGES, IMAGES, Some(VIEWER), 404),
        case("GET", "/api/v1/pxe/machines", "/api/v1/pxe/machines", Some(VIEWER), 404),
        case("GET", "/api/v1/pxe/check", "/api/v1/pxe/check", Some(VIEWER), 404),
    ]);
    cases.extend(bodies("PUT", POLICY, POLICY, r#"{"respond": "perhaps"}"#));
    cases.extend([
        case("PUT", POLICY, POLICY, Some(OPERATOR), 422).body(r#"{"password": "short"}"#),
        case("PUT", POLICY, POLICY, Some(OPERATOR), 200).body(r#"{"unknown": true, "password": "correct horse"}"#),
        case("PUT", POLICY, POLICY, Some(OPERATOR), 200).body(r#"{"password": null}"#),
    ]);
    cases.extend(computers());
    cases.extend(deployments());
    let hello = |token, status| case("POST", "/pxe/v1/hello", "/pxe/v1/hello", token, status);
    let said = r#"{"boot": "1", "host": "pc-1", "macs": ["52:54:00:00:00:01"]}"#;
    cases.extend([
        hello(None, 401).body(said),
        hello(Some("no token of a boot"), 403).body(said),
        hello(Some("x"), 400).body("{"),
        hello(Some("x"), 413).body(&" ".repeat(65 << 10)),
        Case { body: Some(said.to_owned()), ..hello(Some("x"), 415) },
        hello(Some("x"), 422).body("{}"),
    ]);
    cases.extend(of_images("/api/v1/pxe/images/script", None));
    cases.extend([
        case("DELETE", LEASE, "/api/v1/pxe/leases/10.0.0.1", None, 401),
        case("DELETE", LEASE, "/api/v1/pxe/leases/10.0.0.1", Some(VIEWER), 403),
        case("DELETE", LEASE, "/api/v1/pxe/leases/10.0.0.1", Some(OPERATOR), 404),
        case("DELETE", LEASE, "/api/v1/pxe/leases/here", Some(OPERATOR), 422),
        case("DELETE", LEASE, "/api/v1/pxe/leases/%FF", Some(OPERATOR), 400),
    ]);
    cases
}

/// Of a server that boots machines.
pub(super) fn cases_of_one_that_boots() -> Vec<Case> {
    let script = "/api/v1/pxe/images/script";
    let mut cases = vec![
        case("GET", IMAGES, IMAGES, Some(VIEWER), 200),
        case("GET", "/api/v1/pxe/machines", "/api/v1/pxe/machines", Some(VIEWER), 200),
        case("GET", "/api/v1/pxe/check", "/api/v1/pxe/check", Some(VIEWER), 200),
    ];
    cases.extend(of_images(script, Some(SCRIPT)));
    cases
}

/// Whether only a server that boots machines answers so.
pub(super) fn of_one_that_boots(one: &str) -> bool {
    let paths = ["/pxe/images", "/pxe/machines 200", "/pxe/check 200"];
    paths.iter().any(|path| one.contains(path))
        && (one.ends_with("200") || one.ends_with("422"))
        && !ELSEWHERE.contains(&one)
}

fn computers() -> Vec<Case> {
    let (one, other) = ("/api/v1/pxe/computers/pc-1", "/api/v1/pxe/computers/pc-2");
    let computer = |name: &str, mac: &str| format!(r#"{{"name": "{name}", "macs": ["{mac}"]}}"#);
    let first = computer("pc-1", "52:54:00:00:00:01");
    let second = computer("pc-2", "52:54:00:00:00:02");
    let mut cases = bodies("POST", COMPUTERS, COMPUTERS, r#"{"name": "pc-1", "macs": ["01:00:5e:00:00:01"]}"#);
    cases.extend(bodies("PUT", COMPUTER, one, r#"{"name": "pc-1", "uuid": "yes"}"#));
    cases.extend([
        case("POST", COMPUTERS, COMPUTERS, Some(OPERATOR), 201).body(&first),
        case("POST", COMPUTERS, COMPUTERS, Some(OPERATOR), 409).body(&first),
        case("PUT", COMPUTER, one, Some(OPERATOR), 200).body(&first),
        case("POST", COMPUTERS, COMPUTERS, Some(OPERATOR), 201).body(&second),
        case("PUT", COMPUTER, other, Some(OPERATOR), 409).body(&computer("pc-2", "52-54-00-00-00-01")),
        case("PUT", COMPUTER, "/api/v1/pxe/computers/none", Some(OPERATOR), 404).body(&second),
        case("PUT", COMPUTER, "/api/v1/pxe/computers/%FF", Some(OPERATOR), 400).body(&first),
        case("GET", COMPUTERS, COMPUTERS, Some(VIEWER), 200),
    ]);
    cases.extend(removals(COMPUTER, one));
    cases
}

fn deployments() -> Vec<Case> {
    let (one, again) = ("/api/v1/pxe/deployments/lab", "/api/v1/pxe/deployments/lab/again");
    let place = "/api/v1/pxe/deployments/lab/move";
    let deployment =
        r#"{"name": "lab", "target": "all", "boot_image": "client", "once": true, "available_seconds": 5}"#;
    let wrong = r#"{"name": "lab", "target": "everybody", "boot_image": "client"}"#;
    let mut cases = bodies("POST", DEPLOYMENTS, DEPLOYMENTS, wrong);
    cases.extend(bodies("PUT", DEPLOYMENT, one, wrong));
    cases.extend(bodies("POST", MOVE, place, r#"{"behind": "all"}"#));
    cases.extend(bodies("POST", AGAIN, again, r#"{"machine": "pc-1"}"#));
    cases.extend([
        case("POST", DEPLOYMENTS, DEPLOYMENTS, Some(OPERATOR), 201).body(deployment),
        case("POST", DEPLOYMENTS, DEPLOYMENTS, Some(OPERATOR), 409).body(deployment),
        case("POST", DEPLOYMENTS, DEPLOYMENTS, Some(OPERATOR), 201).body(&deployment.replace("\"lab\"", "\"other\"")),
        case("PUT", DEPLOYMENT, one, Some(OPERATOR), 200).body(deployment),
        case("PUT", DEPLOYMENT, one, Some(OPERATOR), 409).body(&deployment.replace("\"lab\"", "\"other\"")),
        case("PUT", DEPLOYMENT, "/api/v1/pxe/deployments/none", Some(OPERATOR), 404).body(deployment),
        case("POST", MOVE, place, Some(OPERATOR), 200).body("{}"),
        case("POST", MOVE, place, Some(OPERATOR), 200).body(r#"{"before": "other"}"#),
        case("POST", MOVE, place, Some(OPERATOR), 404).body(r#"{"before": "none"}"#),
        case("POST", MOVE, "/api/v1/pxe/deployments/%FF/move", Some(OPERATOR), 400).body("{}"),
        case("PUT", DEPLOYMENT, "/api/v1/pxe/deployments/%FF", Some(OPERATOR), 400).body(deployment),
        case("GET", DEPLOYMENTS, DEPLOYMENTS, Some(VIEWER), 200),
        case("POST", AGAIN, again, Some(OPERATOR), 200).body("{}"),
        case("POST", AGAIN, again, Some(OPERATOR), 200).body(r#"{"computer": "52:54:00:00:00:01"}"#),
        case("POST", AGAIN, again, Some(OPERATOR), 404).body(r#"{"computer": "nobody"}"#),
        case("POST", AGAIN, "/api/v1/pxe/deployments/none/again", Some(OPERATOR), 404).body("{}"),
        case("POST", AGAIN, "/api/v1/pxe/deployments/%FF/again", Some(OPERATOR), 400).body("{}"),
    ]);
    cases.extend(removals(DEPLOYMENT, one));
    cases
}

/// With what such an image is, where it can be put.
fn of_images(one: &str, content: Option<&str>) -> Vec<Case> {
    let put = |token, status| case("PUT", IMAGE, one, token, status);
    let delete = |to: &str, token, status| case("DELETE", IMAGE, to, token, status);
    let mut cases = vec![
        put(None, 401).form(&[("file", Some("a.ipxe"), SCRIPT)]),
        put(Some(VIEWER), 403).form(&[("file", Some("a.ipxe"), SCRIPT)]),
        case("PUT", IMAGE, "/api/v1/pxe/images/%FF", Some(OPERATOR), 400).form(&[]),
        delete(one, None, 401),
        delete(one, Some(VIEWER), 403),
        delete("/api/v1/pxe/images/%FF", Some(OPERATOR), 400),
        delete(one, Some(OPERATOR), 404),
    ];
    let Some(script) = content else {
        cases.push(put(Some(OPERATOR), 404).form(&[("file", Some("a.ipxe"), SCRIPT)]));
        return cases;
    };
    cases.extend([
        put(Some(OPERATOR), 400).body("{}"),
        put(Some(OPERATOR), 422).form(&[("file", Some("a.txt"), "neither a kernel nor a script")]),
        put(Some(OPERATOR), 422).form(&[("colour", None, "blue")]),
        put(Some(OPERATOR), 422).form(&[("platform", None, "toaster")]),
        put(Some(OPERATOR), 422).form(&[]),
        put(Some(OPERATOR), 200).form(&[("platform", None, "uefi-x64"), ("file", Some("a.ipxe"), script)]),
        case("GET", IMAGES, IMAGES, Some(VIEWER), 200),
        delete(one, Some(OPERATOR), 200),
    ]);
    cases
}

/// Those that every address with a body has; `wrong` is a body that can be read and not be done.
fn bodies(method: &'static str, path: &'static str, to: &str, wrong: &str) -> Vec<Case> {
    let one = |token, status| case(method, path, to, token, status);
    vec![
        one(None, 401).body(wrong),
        one(Some(VIEWER), 403).body(wrong),
        one(Some(OPERATOR), 400).body("{"),
        one(Some(OPERATOR), 413).body(&" ".repeat(65 << 10)),
        Case { body: Some(wrong.to_owned()), ..one(Some(OPERATOR), 415) },
        one(Some(OPERATOR), 422).body(wrong),
    ]
}

fn removals(path: &'static str, to: &str) -> Vec<Case> {
    let one = |to: &str, token, status| case("DELETE", path, to, token, status);
    vec![
        one(to, None, 401),
        one(to, Some(VIEWER), 403),
        one(&to.replace("/pc-1", "/%FF").replace("/lab", "/%FF"), Some(OPERATOR), 400),
        one(to, Some(OPERATOR), 200),
        one(to, Some(OPERATOR), 404),
    ]
}
