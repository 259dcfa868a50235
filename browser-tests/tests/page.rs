//! The web page in a real browser, in front of a real server and real machines.

#![allow(missing_docs, clippy::unwrap_used)]

mod scripts;
mod support;

use std::time::Duration;

use browser_tests::{LIMIT, Plan, Scheme, TOKEN, VIEWER};
use serde_json::Value;
use support::{Room, run};
use thirtyfour::Key;

const MIB: usize = 1 << 20;
const IMAGE: &str = "lab.img";
const REMOVED: i32 = 4;

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_session_is_watched_from_nothing_to_all_of_it() {
    let plan = Plan::of(IMAGE, 24 * MIB, "20mbit").with("[start]\nclients = 3\n");
    run("watched", &plan, async |room: &mut Room| {
        room.browser.sign_in(&room.point.url(), TOKEN).await?;
        room.browser.shows("#overview", "No session runs").await?;
        let mut machines = vec![room.point.machine("pc-1", IMAGE)?, room.point.machine("pc-2", IMAGE)?];
        room.browser.shows("#overview tbody", "Waiting").await?;
        room.browser.shows("#overview tbody", "2 of 3 machines there").await?;
        room.browser.click("#overview tbody a").await?;
        room.browser.shows("#session", "pc-2").await?;
        machines.push(room.point.machine("pc-3", IMAGE)?);
        let mut seen = Vec::new();
        while seen.last() != Some(&(100, 100)) {
            let look = room.browser.value(scripts::PROGRESS_AND_MAP).await?;
            let now = (look[0].as_u64().unwrap_or(0), look[1].as_u64().unwrap_or(0));
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            assert!(room.begun.elapsed() < 2 * LIMIT, "{seen:?}");
        }
        println!("per cent by the bar and on the map: {seen:?}");
        let between = |values: Vec<u64>| values.into_iter().filter(|value| (1..100).contains(value)).count();
        assert!(between(seen.iter().map(|(bar, _)| *bar).collect()) >= 4, "{seen:?}");
        assert!(between(seen.iter().map(|(_, map)| *map).collect()) >= 4, "{seen:?}");
        assert!(seen.iter().is_sorted_by_key(|(_, map)| *map), "what is verified stays so: {seen:?}");
        room.browser.shows("#session .standing", "Idle").await?;
        room.browser
            .until("return document.querySelectorAll('table.clients [data-kind=complete]').length === 3")
            .await?;
        for machine in &mut machines {
            assert_eq!(machine.wait(LIMIT)?, 0);
            assert!(room.point.is_copy(machine, IMAGE)?);
        }
        let words = room.browser.value("return document.getElementById('map').getAttribute('aria-label')").await?;
        assert!(words.as_str().unwrap().contains("3 machines"), "{words}");
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_machine_is_removed_by_click_and_the_others_go_on() {
    let plan = Plan::of(IMAGE, 16 * MIB, "2mbit").with("[start]\nclients = 2\n");
    run("removed", &plan, async |room: &mut Room| {
        let (mut stays, mut goes) = (room.point.machine("pc-1", IMAGE)?, room.point.machine("pc-2", IMAGE)?);
        room.open_session(IMAGE).await?;
        room.browser.click("button[aria-label='Remove pc-2']").await?;
        room.browser.shows("#confirm", "Remove pc-2?").await?;
        room.browser.shows("#confirm", "The other 1 machine goes on").await?;
        room.browser.click("#confirm-no").await?;
        room.browser.until("return !document.querySelector('#confirm').open").await?;
        room.browser.click("button[aria-label='Remove pc-2']").await?;
        room.browser.click("#confirm-yes").await?;
        assert_eq!(goes.wait(LIMIT)?, REMOVED);
        room.browser.shows("#note", "pc-2 is removed").await?;
        room.browser.shows("table.clients [data-kind=removed]", "removed").await?;
        let session = room.point.session(IMAGE).await?.unwrap();
        assert_eq!((&session["active"], &session["failed"]), (&1.into(), &1.into()));

        room.browser.click("#do-pause").await?;
        room.browser.shows("#confirm", "1 machine receives nothing until it is resumed").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#session .standing", "Paused").await?;
        room.browser.click("#do-resume").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#session .standing", "Sending").await?;
        room.browser.click("#do-cancel").await?;
        room.browser.shows("#confirm-names", "pc-1").await?;
        room.browser.click("#confirm-yes").await?;
        assert_eq!(stays.wait(LIMIT)?, REMOVED);
        room.browser.shows("#session", "cancelled by ops").await
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_wrong_token_is_told_and_a_right_one_stays_for_this_tab() {
    run("token", &Plan::of(IMAGE, MIB, "20mbit"), async |room: &mut Room| {
        room.browser.open(&room.point.url()).await?;
        room.browser.shows("#sign-in", "Token").await?;
        room.browser.type_in("#token", "not-the-token-0123456789").await?;
        room.browser.click("#sign-in-button").await?;
        room.browser.shows("#sign-in-error", "The token is not known to this server").await?;
        assert_eq!(room.browser.value("return document.activeElement.id").await?, "token");
        room.browser.type_in("#token", TOKEN).await?;
        room.browser.click("#sign-in-button").await?;
        room.browser.shows("#connection", "live").await?;
        assert_eq!(
            room.browser.value("return [localStorage.length, document.cookie]").await?,
            serde_json::json!([0, ""])
        );
        room.browser.open(&room.point.url()).await?;
        room.browser.shows("#connection", "live").await?;
        room.browser.click("#sign-out").await?;
        room.browser.shows("#sign-in", "Token").await?;
        assert_eq!(room.browser.value("return sessionStorage.length").await?, 0);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn an_api_that_is_off_is_told_before_a_token_is_typed() {
    let plan = Plan { closed: true, ..Plan::of(IMAGE, MIB, "20mbit") };
    run("off", &plan, async |room: &mut Room| {
        room.browser.open(&room.point.url()).await?;
        room.browser.shows("#sign-in-error", "The API is off: no token is configured").await?;
        room.browser.shows("#sign-in-error", "mcast-server token").await
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_server_that_was_killed_is_missed_and_the_page_goes_on_with_the_next_start() {
    run("killed", &Plan::of(IMAGE, 16 * MIB, "3mbit"), async |room: &mut Room| {
        let _machine = room.point.machine("pc-1", IMAGE)?;
        room.open_session(IMAGE).await?;
        let before = room.browser.value("return location.hash").await?;
        // The site is told every two seconds how its sessions stand.
        tokio::time::sleep(Duration::from_secs(3)).await;
        room.point.kill()?;
        room.browser.shows("#away", "The server does not answer").await?;
        room.browser.shows("#away", "Next try in").await?;
        room.browser.shows("#session table.clients", "pc-1").await?;
        room.point.begin(1).await?;
        room.browser.shows("#connection", "live").await?;
        room.browser.until("return document.querySelector('#away').hidden").await?;
        room.browser.shows("#session .standing", "Sending").await?;
        room.browser.shows("#session table.clients", "pc-1").await?;
        assert_ne!(room.browser.value("return location.hash").await?, before, "it is a session of its own");
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_session_is_started_by_the_keyboard_alone() {
    let plan = Plan::of(IMAGE, 8 * MIB, "4mbit").with("[start]\non_command = true\n");
    run("keyboard", &plan, async |room: &mut Room| {
        let _machine = room.point.machine("pc-1", IMAGE)?;
        room.point.session_where(IMAGE, |session| session["active"] == 1).await?;
        room.browser.open(&room.point.url()).await?;
        room.browser.until("return document.activeElement.id === 'token'").await?;
        room.browser.type_keys(TOKEN).await?;
        room.browser.press(Key::Enter).await?;
        room.browser.shows("#overview tbody", "starts on command").await?;
        room.browser.tab_to("#overview tbody a", 20).await?;
        room.browser.press(Key::Enter).await?;
        room.browser.shows("#session .standing", "Waiting").await?;
        room.browser.tab_to("#do-start", 12).await?;
        let outline = "const s = getComputedStyle(document.activeElement); return s.outlineStyle + s.outlineWidth";
        assert_eq!(room.browser.value(outline).await?, "solid2px", "the focus is seen");
        room.browser.press(Key::Enter).await?;
        room.browser.shows("#confirm", "1 machine is there").await?;
        room.browser.press(Key::Enter).await?;
        room.browser.shows("#session .standing", "Sending").await?;
        room.browser.tab_to("#map", 30).await?;
        for key in [Key::Down, Key::Right, Key::Right] {
            room.browser.press(key).await?;
        }
        room.browser.shows(".map .tip", "pc-1").await?;
        let spoken = room.browser.value("return document.querySelector('.map output').textContent").await?;
        assert!(spoken.as_str().unwrap().starts_with("pc-1: "), "{spoken}");
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_viewer_sees_all_and_has_no_buttons_for_it() {
    run("viewer", &Plan::of(IMAGE, 16 * MIB, "2mbit"), async |room: &mut Room| {
        let _machine = room.point.machine("pc-1", IMAGE)?;
        let session = room.point.session_where(IMAGE, |session| session["active"] == 1).await?;
        room.browser.sign_in(&room.point.url(), VIEWER).await?;
        room.browser.go_to_session(session["id"].as_str().unwrap()).await?;
        room.browser.shows("#session table.clients", "pc-1").await?;
        let buttons = "return [...document.querySelectorAll('#session .actions button, table.clients .small')]\
                       .filter((button) => button.checkVisibility()).length";
        assert_eq!(room.browser.value(buttons).await?, 0);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn the_site_shows_its_servers_and_their_images() {
    let never = "[[image]]\nname = \"b.img\"\nfile = \"b.img\"\nmulticast = \"never\"\n";
    run("site", &Plan::of(IMAGE, MIB, "20mbit").image("b.img", MIB).with(never), async |room: &mut Room| {
        room.browser.sign_in(&room.point.url(), TOKEN).await?;
        room.browser.value("location.hash = '#/site'").await?;
        room.browser.shows("#site [data-part=rows]", "serves").await?;
        let first = "#site [data-part=images] tr:nth-child(1)";
        let second = "#site [data-part=images] tr:nth-child(2)";
        for (row, texts) in
            [(first, ["b.img", "ready", "unicast only"]), (second, [IMAGE, "ready", "multicast and unicast"])]
        {
            for text in texts {
                room.browser.shows(row, text).await?;
            }
        }
        let contents = "const texts = [...document.querySelectorAll('#site [data-part=images] .code')]\
                        .map((cell) => cell.textContent); return texts.length === 2 && texts[0] !== texts[1] \
                        && texts.every((text) => /^[0-9a-f]{12}$/.test(text))";
        room.browser.until(contents).await?;
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn what_a_client_calls_itself_is_text() {
    run("text", &Plan::of("a.img", MIB, "20mbit"), async |room: &mut Room| {
        let name = "<img src=x onerror=document.title=1><b id=evil>pc";
        room.point.fetcher(name, "a.img").fetch(0, 1000, (1, 4)).await?;
        room.browser.sign_in(&room.point.url(), TOKEN).await?;
        room.browser.shows("#overview", name).await?;
        room.browser.shows("#overview", "nothing was heard of the group within 10 s").await?;
        assert_eq!(room.browser.value("return document.getElementById('evil')").await?, Value::Null);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn every_view_is_readable_in_both_schemes_and_in_a_narrow_window() {
    let plan = Plan::of(IMAGE, 16 * MIB, "2mbit")
        .image("b.img", MIB)
        .with("[[image]]\nname = \"lost\"\nfile = \"lost.wim\"\n");
    run("readable", &plan, async |room: &mut Room| {
        let _machines = [room.point.machine("pc-1", IMAGE)?, room.point.machine("pc-2", IMAGE)?];
        let session = room.open_session(IMAGE).await?;
        for view in [
            format!("session/{session}"),
            String::new(),
            "images".into(),
            "machines".into(),
            "site".into(),
            "settings".into(),
        ] {
            room.browser.value(&format!("location.hash = '#/{view}'")).await?;
            for scheme in [Scheme::Light, Scheme::Dark] {
                room.browser.size(1440, 900).await?;
                room.browser.prefer(scheme).await?;
                room.browser
                    .until("return document.getAnimations().every((one) => one.playState !== 'running')")
                    .await?;
                let name = if view.is_empty() { "overview" } else { view.split('/').next().unwrap() };
                room.picture(&format!("{name}-{}", scheme.word())).await?;
                let faint = room.browser.value(scripts::FAINT_TEXTS).await?;
                assert_eq!(faint, serde_json::json!([]), "{view} {scheme:?}");
                // A phone, and a small screen at 200 %.
                for width in [640, 320] {
                    room.browser.size(width, 900).await?;
                    room.browser.until(&format!("return innerWidth === {width}")).await?;
                    let wide = room.browser.value("return document.documentElement.scrollWidth").await?;
                    assert!(wide.as_u64() <= Some(width.into()), "{view}: {wide} px at {width}");
                }
                room.picture(&format!("{name}-{}-narrow", scheme.word())).await?;
            }
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn colours_are_the_systems_until_others_are_chosen() {
    run("colours", &Plan::of(IMAGE, MIB, "20mbit"), async |room: &mut Room| {
        let ground = "return getComputedStyle(document.body).backgroundColor";
        room.browser.prefer(Scheme::Light).await?;
        room.browser.sign_in(&room.point.url(), TOKEN).await?;
        let light = room.browser.value(ground).await?;
        room.browser.prefer(Scheme::Dark).await?;
        room.browser.until(&format!("{ground} !== {light}")).await?;
        room.browser.click("#theme option[value=light]").await?;
        assert_eq!(room.browser.value(ground).await?, light);
        room.browser.open(&room.point.url()).await?;
        room.browser.shows("#connection", "live").await?;
        assert_eq!(room.browser.value(ground).await?, light, "the choice is kept");
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn five_hundred_machines_stay_smooth() {
    run("smooth", &Plan::of(IMAGE, MIB, "20mbit"), async |room: &mut Room| {
        room.browser.sign_in(&room.point.url(), TOKEN).await?;
        let times = room.browser.awaited(scripts::FIVE_HUNDRED).await?;
        println!("milliseconds for an update of 500 machines: {times}");
        // Once a second; a frame of 50 ms is where people begin to feel it.
        for part in ["table", "map", "charts", "all"] {
            let median = times[part]["median"].as_f64().unwrap_or_else(|| panic!("{times}"));
            assert!(median < 50.0, "{part}: {times}");
        }
        assert!(times["rows"].as_u64() < Some(100), "only what is in view is there: {times}");
        Ok(())
    });
}
