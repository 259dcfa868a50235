//! The distribution point: `mcast-server serve` with real clients, through what may befall it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::net::SENDER;
use crate::lab::point::{HTTP_PORT, Host, LOCAL_PORT, Point, Postgres, Setup, TOKEN};
use crate::{files, interrupt};

const CURL: Need = Need::Program("curl");
const SPACE: Need = Need::Space(2 << 30);

pub(super) const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "serve-count",
        claim: "a session that is to wait for 8 clients waits with 7 and starts with the eighth",
        needs: &[CURL, SPACE],
        run: by_count,
    },
    Scenario {
        name: "serve-wait",
        claim: "a session starts 4 s after its first client, with whoever is there",
        needs: &[CURL, SPACE],
        run: by_wait,
    },
    Scenario {
        name: "serve-command",
        claim: "a session that waits for its operator starts by the API, pauses and goes on",
        needs: &[CURL, SPACE],
        run: by_command,
    },
    Scenario {
        name: "serve-cap",
        claim: "with at most 3 clients the others hear their place in the queue, and come in as the first are done",
        needs: &[CURL, SPACE],
        run: cap,
    },
    Scenario {
        name: "serve-madcap",
        claim: "group addresses are leased by MADCAP, renewed while a session runs, and given back at the end",
        needs: &[CURL, SPACE],
        run: leased,
    },
    Scenario {
        name: "serve-fallback",
        claim: "a client that no multicast reaches fetches by HTTPS with a pinned fingerprint, and both sides say why",
        needs: &[CURL, SPACE],
        run: fallback,
    },
    Scenario {
        name: "serve-two",
        claim: "two servers on one PostgreSQL share cap and queue, see each other's sessions, command them, and never a group",
        needs: &[CURL, SPACE, Need::Postgres],
        run: two_servers,
    },
    Scenario {
        name: "serve-killed",
        claim: "a server killed at half time and started again finishes, without sending again what was verified",
        needs: &[CURL, SPACE],
        run: killed,
    },
    Scenario {
        name: "serve-database",
        claim: "while its database is away for 10 s a session goes on, a new client comes in, and nothing of it is forgotten",
        needs: &[CURL, SPACE, Need::Postgres],
        run: database_away,
    },
    Scenario {
        name: "serve-content",
        claim: "an image replaced while it is served is finished as it was, and the next client gets the new one",
        needs: &[CURL, SPACE],
        run: content_changes,
    },
    Scenario {
        name: "serve-crowd",
        claim: "200 clients that join at the same moment are all served",
        needs: &[CURL, SPACE],
        run: crowd,
    },
    Scenario {
        name: "serve-half-open",
        claim: "10,000 connections that say nothing neither keep the API from answering within 5 s nor slow the session by more than 10 %",
        needs: &[CURL, SPACE],
        run: half_open,
    },
    Scenario {
        name: "serve-requests",
        claim: "1,000 API requests a second change the pace of a session by less than 2 %",
        needs: &[CURL, SPACE],
        run: requests,
    },
];

const DP: Host = Host::Sender;

fn by_count(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::new(8, 16, 100, &["start.clients=8"]);
    let mut point = Point::serve(lab, &setup)?;
    (0..7).try_for_each(|i| point.start_client(i))?;
    point.wait("seven clients", Duration::from_secs(10), |p| Ok(p.session(DP)?.is_some_and(|s| s["active"] == 7)))?;
    interrupt::sleep(Duration::from_secs(2))?;
    let state = point.state(DP)?;
    findings.check(state == "waiting", || format!("with seven clients the session is {state}"));
    point.start_client(7)?;
    point.finish()?;
    let told = point.has_logged(DP, "started with 8 clients: as many as asked for are there")?;
    findings.check(told, || "the server does not say that eight clients started it".to_owned());
    findings.figure("the eighth, from its start", point.time_of(|i| i == 7)?.as_secs_f64(), "s");
    Ok(())
}

fn by_wait(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::new(3, 16, 100, &["start.clients=8", "start.wait=4s"]);
    let mut point = Point::serve(lab, &setup)?;
    (0..3).try_for_each(|i| point.start_client(i))?;
    point.finish()?;
    let wall = point.time_of(|_| true)?;
    findings.check(wall >= Duration::from_secs(4), || format!("it was over after {:.1} s", wall.as_secs_f64()));
    findings.at_most("wall", wall.as_secs_f64(), "s", 4.0 + setup.image_time().as_secs_f64() + 2.0);
    let told = point.has_logged(DP, "the first one has waited long enough")?;
    findings.check(told, || "the server does not say that the wait started it".to_owned());
    Ok(())
}

fn by_command(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::new(4, 32, 100, &["start.on_command=true"]);
    let mut point = Point::serve(lab, &setup)?;
    (0..4).try_for_each(|i| point.start_client(i))?;
    point.wait("four clients", Duration::from_secs(10), |p| Ok(p.session(DP)?.is_some_and(|s| s["active"] == 4)))?;
    let id = point.session(DP)?.context("no session")?["id"].as_str().context("no id")?.to_owned();
    let command = |point: &mut Point<'_>, command: &str, state: &str| -> Result<f64> {
        let asked = Instant::now();
        point.post(DP, &format!("sessions/{id}"), &format!("{{\"command\":\"{command}\"}}"))?;
        point.wait(state, Duration::from_secs(5), |point| Ok(point.state(DP)? == state))?;
        Ok(asked.elapsed().as_secs_f64())
    };
    findings.at_most("running after the command", command(&mut point, "start", "running")?, "s", 2.0);
    command(&mut point, "pause", "paused")?;
    let at_pause = point.session(DP)?.context("no session")?["progress"].as_f64();
    interrupt::sleep(Duration::from_secs(2))?;
    let later = point.session(DP)?.context("no session")?["progress"].as_f64();
    findings.figure("progress at the pause", at_pause.unwrap_or(f64::NAN), "");
    findings.at_most("progress 2 s later", later.unwrap_or(f64::NAN), "", at_pause.unwrap_or(0.0) + 0.1);
    command(&mut point, "resume", "running")?;
    point.finish()
}

fn cap(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const CAP: u64 = 3;
    let setup = Setup::new(8, 16, 60, &["clients.max=3"]);
    let mut point = Point::serve(lab, &setup)?;
    (0..8).try_for_each(|i| point.start_client(i))?;
    let (mut most, mut waiting) = (0, 0);
    point.wait("all clients", Duration::from_secs(90), |point| {
        let session = point.session(DP)?;
        most = most.max(session.and_then(|session| session["active"].as_u64()).unwrap_or(0));
        waiting = waiting.max(point.get(DP, "queue")?.as_array().map_or(0, Vec::len));
        let ended = (0..8).map(|i| Ok(point.client(i)?.poll()?.is_some())).collect::<Result<Vec<_>>>()?;
        Ok(ended.iter().all(|ended| *ended))
    })?;
    point.finish()?;
    findings.at_most("clients served at once", most as f64, "", CAP as f64);
    findings.figure("clients in the queue", waiting as f64, "");
    findings.check(waiting >= 4, || format!("{waiting} clients were seen in the queue"));
    let told = (0..8).filter(|&i| {
        let events = point.client(i).map(|client| client.events()).unwrap_or_default();
        events.iter().any(|event| {
            event["event"] == "refused"
                && event["text"].as_str().is_some_and(|text| text.contains("this one is number"))
        })
    });
    let told = told.count();
    findings.check(told >= 4, || format!("{told} clients heard their place"));
    findings.figure("wall", point.time_of(|_| true)?.as_secs_f64(), "s");
    Ok(())
}

fn leased(lab: &Lab, findings: &mut Findings) -> Result<()> {
    // The responder grants 10 s, less than is asked for.
    let settings = ["multicast.address=madcap", "multicast.madcap.server=10.77.0.13:2535"];
    let setup = Setup::new(3, 64, 60, &settings);
    let responder = lab.example("madcap", "madcap_responder")?;
    let mut point = Point::open(lab, &setup)?;
    let arguments = [
        "--listen",
        "10.77.0.13",
        "--server-id",
        "10.77.0.13",
        "--range",
        "239.195.7.1-239.195.7.20",
        "--lease",
        "10s",
    ];
    point.start_helper(Host::Receiver(2), &responder, &arguments)?;
    interrupt::sleep(Duration::from_millis(500))?;
    point.start_server(DP)?;
    point.wait("a lease", Duration::from_secs(15), |point| point.has_logged(DP, "group address is leased"))?;
    (0..2).try_for_each(|i| point.start_client(i))?;
    point.wait("the session", Duration::from_secs(10), |point| Ok(point.state(DP)? == "running"))?;
    let group = point.session(DP)?.context("no session")?["group"].as_str().unwrap_or_default().to_owned();
    findings.check(group.starts_with("239.195.7."), || format!("the session's group is {group}"));
    point.finish()?;
    findings.figure("wall", point.time_of(|_| true)?.as_secs_f64(), "s");
    let renewed = message_count(&point.log(DP)?, "lease is renewed");
    findings.check(renewed >= 1, || "no lease was renewed".to_owned());
    findings.figure("renewals", renewed as f64, "");
    point.server(DP)?.signal(nix::sys::signal::Signal::SIGTERM)?;
    crate::process::wait_for([point.server(DP)?], Duration::from_secs(15))?;
    let unconfirmed = point.has_logged(DP, "did not confirm that leases were given back")?;
    findings.check(!unconfirmed, || "leases were not given back".to_owned());
    Ok(())
}

fn message_count(lines: &[Value], text: &str) -> usize {
    let said = lines.iter().filter_map(|line| line["fields"]["message"].as_str());
    said.filter(|message| message.contains(text)).count()
}

fn fallback(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const VICTIM: usize = 2;
    let setup = Setup::new(4, 32, 60, &[]);
    let mut point = Point::serve(lab, &setup)?;
    point.net().deafen(VICTIM)?;
    let fingerprint = point.fingerprint()?;
    for i in (0..4).filter(|&i| i != VICTIM) {
        point.start_client(i)?;
    }
    let trust = ["--trust", fingerprint.as_str(), "--fallback-after", "3s"];
    point.start_client_of(VICTIM, SENDER, &trust)?;
    let mut reason = None;
    point.wait("the client by HTTP", Duration::from_secs(20), |point| {
        reason = point.reason_for_http(DP)?;
        Ok(reason.is_some())
    })?;
    let reason = reason.unwrap_or_default();
    findings.check(reason.contains("heard nothing of"), || format!("the server shows as reason: {reason:?}"));
    point.finish()?;
    findings.figure("the deaf one", point.time_of(|i| i == VICTIM)?.as_secs_f64(), "s");
    findings.figure("the others", point.time_of(|i| i != VICTIM)?.as_secs_f64(), "s");
    let events = point.client(VICTIM)?.events();
    let said = events.iter().find_map(|event| event["reason"].as_str().filter(|text| text.contains("was heard for")));
    findings.check(said.is_some(), || "the client does not say why it fetches".to_owned());
    point.wait("what became of it in the history", Duration::from_secs(10), |point| {
        let history = point.get(DP, "history")?;
        let by_http = |entry: &Value| entry["path"] == "http" && entry["state"] == "complete";
        Ok(history.as_array().is_some_and(|entries| entries.iter().any(by_http)))
    })?;
    // A wrong fingerprint is refused.
    let other = "0000-0000-0000-0000-0000-0000-0000";
    point.start_client_of(VICTIM, SENDER, &["--trust", other, "--fallback", "only", "--fresh"])?;
    crate::process::wait_for([point.client(VICTIM)?], Duration::from_secs(30))?;
    let complaint = point.client(VICTIM)?.complaint().to_string();
    findings.check(complaint.contains("not the trusted"), || format!("with a wrong fingerprint it says: {complaint}"));
    Ok(())
}

fn two_servers(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let other = Host::Receiver(6);
    let other_address = "10.77.0.17";
    let mut setup = Setup::new(7, 32, 60, &["clients.max=4", "multicast.address=239.195.8.1-239.195.8.6"]);
    let database = lab.new_image_folder()?;
    let postgres = Postgres::start(database.path())?;
    setup.settings.extend(postgres.settings());
    let mut point = Point::open(lab, &setup)?;
    point.start_server(DP)?;
    point.start_server(other)?;
    (0..3).try_for_each(|i| point.start_client(i))?;
    (3..6).try_for_each(|i| point.start_client_of(i, other_address, &[]))?;
    let (mut most, mut groups) = (0, std::collections::BTreeSet::new());
    point.wait("both sessions at both servers", Duration::from_secs(15), |point| {
        let sessions = point.get(DP, "sessions")?;
        let sessions = sessions.as_array().cloned().unwrap_or_default();
        groups.extend(sessions.iter().filter_map(|session| session["group"].as_str().map(str::to_owned)));
        let others = point.get(other, "sessions")?.as_array().map_or(0, Vec::len);
        Ok(sessions.len() == 2 && others == 2)
    })?;
    let addresses: std::collections::BTreeSet<_> = groups.iter().filter_map(|group| group.split(':').next()).collect();
    findings.check(addresses.len() == 2, || format!("the sessions' groups are {groups:?}"));
    // An operator at one server pauses the session of the other.
    let sessions = point.get(other, "sessions")?;
    let theirs = sessions.as_array().and_then(|all| all.iter().find(|session| session["server"] == "dp1"));
    let id = theirs.and_then(|session| session["id"].as_str()).context("dp1's session is not seen")?.to_owned();
    let passed_on = point.post(other, &format!("sessions/{id}"), "{\"command\":\"pause\"}")?;
    findings.check(passed_on["status"] == "passed_on", || format!("the command is answered by {passed_on}"));
    point.wait("the pause", Duration::from_secs(10), |point| {
        Ok(state_of(&point.get(DP, &format!("sessions/{id}"))?) == "paused")
    })?;
    point.post(other, &format!("sessions/{id}"), "{\"command\":\"resume\"}")?;
    let mut queued = 0;
    point.wait("all clients", Duration::from_secs(90), |point| {
        let active = |host| {
            Ok::<_, anyhow::Error>(point.get(host, "clients")?.as_array().map_or(0, |all| {
                all.iter().filter(|client| matches!(state_of(client), "joined" | "receiving" | "silent")).count()
            }))
        };
        most = most.max(active(DP)? + active(other)?);
        queued = queued.max(point.get(DP, "queue")?.as_array().map_or(0, Vec::len));
        point.have_all_ended()
    })?;
    point.finish()?;
    findings.at_most("clients served at once by both", most as f64, "", 4.0);
    findings.figure("clients in the queue", queued as f64, "");
    findings.figure("groups", addresses.len() as f64, "");
    let images = point.get(other, "site/images")?.as_array().map_or(0, Vec::len);
    findings.check(images == 2, || format!("the site has {images} images at its servers"));
    let servers = point.get(other, "site")?["servers"].as_array().map_or(0, Vec::len);
    findings.check(servers == 2, || format!("the site has {servers} servers"));
    Ok(())
}

fn state_of(value: &Value) -> &str {
    value["state"].as_str().unwrap_or_default()
}

fn killed(lab: &Lab, findings: &mut Findings) -> Result<()> {
    // Eight clients are not to be waited for again.
    let setup = Setup::new(8, 64, 100, &["start.clients=8"]);
    let mut point = Point::serve(lab, &setup)?;
    let before = point.net().counters()?.sent_bytes;
    (0..8).try_for_each(|i| point.start_client(i))?;
    point.wait("half of it", Duration::from_secs(60), |point| {
        Ok(point.session(DP)?.is_some_and(|session| session["progress"].as_f64().unwrap_or(0.0) > 0.5))
    })?;
    point.server(DP)?.kill()?;
    // One has gone home meanwhile.
    point.client(7)?.kill()?;
    interrupt::sleep(Duration::from_secs(1))?;
    point.start_server(DP)?;
    point.wait_for_clients(|i| i != 7)?;
    for i in 0..7 {
        files::check_copy(&point.images().join("image.bin"), &point.output(i))?;
    }
    let wire = (point.net().counters()?.sent_bytes - before) as f64 / setup.bytes as f64;
    findings.at_most("wire/image", wire, "", 1.2);
    findings.figure("wall", point.time_of(|i| i != 7)?.as_secs_f64(), "s");
    let resumed = point.has_logged(DP, "session is open")?;
    findings.check(resumed, || "the session was not taken up".to_owned());
    Ok(())
}

fn database_away(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut setup = Setup::new(5, 128, 60, &["clients.max=10"]);
    let database = lab.new_image_folder()?;
    let postgres = Postgres::start(database.path())?;
    setup.settings.extend(postgres.settings());
    let mut point = Point::open(lab, &setup)?;
    point.start_server(DP)?;
    (0..4).try_for_each(|i| point.start_client(i))?;
    point.wait("the stream", Duration::from_secs(15), |point| Ok(point.state(DP)? == "running"))?;
    postgres.stop()?;
    let stopped = Instant::now();
    interrupt::sleep(Duration::from_secs(3))?;
    point.start_client(4)?;
    interrupt::sleep(Duration::from_secs(7))?;
    let joined = crate::events::has_joined(&point.client(4)?.events());
    findings.check(joined, || "a client that came meanwhile was not taken in".to_owned());
    postgres.go_on()?;
    findings.figure("database away", stopped.elapsed().as_secs_f64(), "s");
    point.finish()?;
    findings.figure("wall", point.time_of(|_| true)?.as_secs_f64(), "s");
    let mut complete = 0;
    point.wait("the history", Duration::from_secs(20), |point| {
        let history = point.get(DP, "history")?;
        complete = history.as_array().map_or(0, |all| all.iter().filter(|row| state_of(row) == "complete").count());
        Ok(complete == 5)
    })?;
    findings.figure("machines in the history", complete as f64, "");
    Ok(())
}

fn content_changes(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let setup = Setup::new(3, 64, 60, &["session.linger=1s"]);
    let mut point = Point::serve(lab, &setup)?;
    let image = point.images().join("image.bin");
    let (old, new) = (point.folder().join("old"), point.folder().join("new"));
    std::fs::copy(&image, &old)?;
    files::write_random(&new, setup.bytes / 2, 77)?;
    (0..2).try_for_each(|i| point.start_client(i))?;
    point.wait("some of it", Duration::from_secs(20), |point| {
        Ok(point.session(DP)?.is_some_and(|session| session["progress"].as_f64().unwrap_or(0.0) > 0.2))
    })?;
    std::fs::copy(&new, point.images().join(".incoming"))?;
    std::fs::rename(point.images().join(".incoming"), &image)?;
    point.wait_for_clients(|_| true)?;
    (0..2).try_for_each(|i| files::check_copy(&old, &point.output(i)))?;
    let ready = |point: &mut Point<'_>| -> Result<bool> {
        let images = point.get(DP, "images")?;
        Ok(state_of(&images[0]) == "ready" && images[0]["bytes"].as_u64() == Some(setup.bytes / 2))
    };
    point.wait("the new image", Duration::from_secs(15), ready)?;
    point.wait("the end of the old session", Duration::from_secs(15), |point| Ok(point.session(DP)?.is_none()))?;
    point.start_client(2)?;
    point.wait_for_clients(|i| i == 2)?;
    files::check_copy(&new, &point.output(2))?;
    findings.figure("the new one", point.time_of(|i| i == 2)?.as_secs_f64(), "s");
    Ok(())
}

fn crowd(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const CLIENTS: usize = 200;
    // What two cores deliver 200 times.
    let setup = Setup::new(CLIENTS, 2, 5, &["start.clients=200", "start.wait=60s", "clients.max=200"]);
    let mut point = Point::serve(lab, &setup)?;
    (0..CLIENTS).try_for_each(|i| point.start_client(i))?;
    point.finish()?;
    findings.figure("wall", point.time_of(|_| true)?.as_secs_f64(), "s");
    let all = point.has_logged(DP, "started with 200 clients")?;
    findings.check(all, || "the session did not start with all 200".to_owned());
    Ok(())
}

/// The time of a session of four clients, while `meanwhile` goes on.
fn session_time(
    lab: &Lab,
    setup: &Setup,
    meanwhile: impl FnOnce(&mut Point<'_>) -> Result<()>,
    look: impl FnOnce(&mut Point<'_>) -> Result<()>,
) -> Result<f64> {
    let mut point = Point::serve(lab, setup)?;
    meanwhile(&mut point)?;
    (0..4).try_for_each(|i| point.start_client(i))?;
    point.wait("the stream", Duration::from_secs(15), |point| Ok(!point.state(DP)?.is_empty()))?;
    look(&mut point)?;
    point.finish()?;
    Ok(point.time_of(|_| true)?.as_secs_f64())
}

fn half_open(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let callers = lab.helper("callers")?;
    let address = format!("{SENDER}:{HTTP_PORT}");
    let setup = Setup::new(6, 64, 60, &[]);
    let alone = session_time(lab, &setup, |_| Ok(()), |_| Ok(()))?;
    let mut answered = f64::NAN;
    let together = session_time(
        lab,
        &setup,
        |point| {
            point.start_helper(Host::Receiver(5), &callers, &["silent", &address, "10000", "60"])?;
            interrupt::sleep(Duration::from_secs(3))
        },
        |point| {
            let asked = Instant::now();
            point.get(DP, "health")?;
            answered = asked.elapsed().as_secs_f64();
            Ok(())
        },
    )?;
    findings.slower_by("session with 10,000 of them", together, alone, 0.1);
    findings.at_most("the API's answer", answered, "s", 5.0);
    Ok(())
}

fn requests(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let callers = lab.helper("callers")?;
    let setup = Setup::new(4, 64, 60, &[]);
    let alone = session_time(lab, &setup, |_| Ok(()), |_| Ok(()))?;
    let mut rate = f64::NAN;
    let together = session_time(
        lab,
        &setup,
        |point| {
            let address = format!("127.0.0.1:{LOCAL_PORT}");
            let paths = ["/api/v1/sessions", "/api/v1/clients", "/api/v1/images", "/api/v1/health"];
            point.start_helper(DP, &callers, &[&["requests", &address, "1000", "20", TOKEN][..], &paths].concat())
        },
        |point| {
            interrupt::sleep(Duration::from_secs(5))?;
            rate = point.helper_events().last().and_then(|event| event["per_second"].as_f64()).unwrap_or(f64::NAN);
            Ok(())
        },
    )?;
    findings.figure("requests a second", rate, "");
    findings.check(rate >= 950.0, || format!("only {rate:.0} requests a second were answered"));
    findings.slower_by("session with them", together, alone, 0.02);
    findings.figure("change of the session's time", together / alone - 1.0, "");
    Ok(())
}
