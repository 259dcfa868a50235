//! The page's view of bare machines, in front of a real server.

#![allow(missing_docs, clippy::unwrap_used)]

mod scripts;
mod support;

use browser_tests::{Bare, Plan, Scheme, TOKEN, VIEWER};
use serde_json::{Value, json};
use support::{Room, run};

fn plan() -> Plan {
    Plan::of("lab.img", 1 << 20, "20mbit")
}

impl Room {
    /// Has the site know so many computers and what they boot, and looks at them with this token.
    async fn open_bare_machines(&self, token: &str, computers: usize) -> anyhow::Result<()> {
        for number in 0..computers {
            let mac = format!("52:54:00:00:{:02x}:{:02x}", number / 256, number % 256);
            let computer = json!({ "name": format!("room1-pc{}", number + 1), "macs": [mac] });
            self.point.send("POST", "pxe/computers", &computer).await?;
        }
        let deployment = json!({ "name": "install", "target": "known", "boot_image": "client", "once": true });
        self.point.send("POST", "pxe/deployments", &deployment).await?;
        self.browser.sign_in(&self.point.url(), token).await?;
        self.browser.value("location.hash = '#/pxe'").await?;
        self.browser.shows("#pxe [data-part=deployments]", "install").await
    }
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn answering_is_turned_off_and_on_once_it_is_confirmed() {
    run("respond", &plan(), async |room: &mut Room| {
        room.open_bare_machines(TOKEN, 2).await?;
        let respond = async |room: &Room| Ok::<_, anyhow::Error>(room.point.get("pxe").await?["respond"].clone());
        room.browser.click("#pxe-stop").await?;
        room.browser.shows("#confirm", "find no boot server").await?;
        room.browser.click("#confirm-no").await?;
        assert_eq!(respond(room).await?, true, "it was not meant");
        room.browser.click("#pxe-stop").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#note", "no machine is answered any more").await?;
        assert_eq!(respond(room).await?, false);
        room.browser.click("#pxe-start").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#note", "machines are answered").await?;
        room.browser.click("#pxe-unknown").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#pxe .facts", "answered").await?;
        assert_eq!(room.point.get("pxe").await?["unknown"], true);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_viewer_of_bare_machines_gets_no_buttons() {
    run("bare-viewer", &plan(), async |room: &mut Room| {
        room.open_bare_machines(VIEWER, 2).await?;
        room.browser.shows("#pxe [data-part=computers]", "room1-pc2").await?;
        let buttons = "return [...document.querySelectorAll('#pxe button')].filter((b) => b.checkVisibility()).length";
        assert_eq!(room.browser.value(buttons).await?, 0);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn five_hundred_computers_are_shown_and_one_is_found() {
    run("bare-many", &plan(), async |room: &mut Room| {
        room.open_bare_machines(TOKEN, 500).await?;
        let rows = "return document.querySelectorAll('#pxe [data-part=computers] tr').length";
        room.browser.until(&format!("{rows} === 500")).await?;
        room.browser.type_in("#find-computer", "52:54:00:00:01:00").await?;
        room.browser.until(&format!("{rows} === 1")).await?;
        room.browser.shows("#pxe [data-part=computers]", "room1-pc257").await
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn a_refusal_stands_out_with_its_reason_and_a_machine_is_followed_as_it_boots() {
    run("bare-live", &plan(), async |room: &mut Room| {
        room.open_bare_machines(TOKEN, 1).await?;
        let times = room.browser.awaited(scripts::BOOTS).await?;
        println!("milliseconds for news of 100 of 500 machines: {times}");
        assert!(times["median"].as_f64().unwrap() < 100.0, "{times}");
        room.browser.shows("#pxe [data-part=booting] tr.refused", "unknown ones are not answered").await?;
        room.browser.shows("#pxe [data-part=boots] tr.refused", "52:54:00:00:00:99").await?;
        room.browser.shows("#pxe [data-part=booting] [data-kind=kernel]", "loads what it boots").await?;
        room.browser.click("#only-boots option[value=refused]").await?;
        let shown = "return [...document.querySelectorAll('#pxe [data-part=boots] tr')].map((tr) => tr.className)";
        assert_eq!(room.browser.value(shown).await?, json!(["refused"]));
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium and root: run by the lab"]
fn a_machine_is_seen_as_it_boots_and_boots_once_more_by_click() {
    run("bare-boots", &plan().booting(), async |room: &mut Room| {
        room.point.put_boot_image("client", 1 << 20).await?;
        room.open_bare_machines(TOKEN, 1).await?;
        let (mut known, mut unknown) = (Bare::new(0, "x86_64"), Bare::new(0x99, "pcbios"));
        unknown.ask().await?;
        room.browser.shows("#pxe [data-part=booting] tr.refused", unknown.mac()).await?;
        known.ask().await?;
        known.load().await?;
        room.browser.shows("#pxe [data-part=booting]", "loads what it boots").await?;
        known.hello(&room.point, "room1-pc1").await?;
        room.browser.shows("#pxe [data-part=booting]", "the client runs").await?;
        room.browser.shows("#pxe [data-part=boots] tr.refused", "unknown ones are not answered").await?;
        room.browser.click("#pxe button[aria-label='Once more: install']").await?;
        room.browser.shows("#confirm-names", "room1-pc1").await?;
        room.browser.click("#confirm-yes").await?;
        room.browser.shows("#note", "install boots once more").await?;
        assert_eq!(room.point.get("pxe/deployments").await?[0]["done"], json!([]));
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn what_a_computer_is_called_is_text() {
    run("bare-text", &plan(), async |room: &mut Room| {
        let name = "<img src=x onerror=document.title=1><b id=evil>";
        let computer = json!({ "name": name, "macs": ["52:54:00:00:00:01"] });
        room.point.send("POST", "pxe/computers", &computer).await?;
        room.open_bare_machines(TOKEN, 0).await?;
        room.browser.shows("#pxe [data-part=computers]", name).await?;
        assert_eq!(room.browser.value("return document.getElementById('evil')").await?, Value::Null);
        Ok(())
    });
}

#[test]
#[ignore = "needs chromium: run by the lab"]
fn bare_machines_are_readable_in_both_schemes_and_in_a_narrow_window() {
    run("bare-readable", &plan(), async |room: &mut Room| {
        room.open_bare_machines(TOKEN, 30).await?;
        room.browser.awaited(scripts::BOOTS).await?;
        for scheme in [Scheme::Light, Scheme::Dark] {
            room.browser.size(1440, 900).await?;
            room.browser.prefer(scheme).await?;
            room.browser
                .until(&format!("return document.documentElement.dataset.theme === '{}'", scheme.word()))
                .await?;
            room.picture(scheme.word()).await?;
            assert_eq!(room.browser.value(scripts::FAINT_TEXTS).await?, json!([]), "{scheme:?}");
            for width in [640, 320] {
                room.browser.size(width, 900).await?;
                room.browser.until(&format!("return innerWidth === {width}")).await?;
                let wide = room.browser.value("return document.documentElement.scrollWidth").await?;
                assert!(wide.as_u64() <= Some(width.into()), "{wide} px at {width}");
            }
        }
        Ok(())
    });
}
