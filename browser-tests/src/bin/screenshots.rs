//! Takes the pictures of the page for the documents: real servers, real clients, on loopback.
//!
//!     cargo run -p browser-tests --bin screenshots -- [FOLDER [8 | 200 | bare]]       # bare: takes root

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use browser_tests::{Bare, Browser, Machine, Plan, Point, Scheme, TOKEN};
use serde_json::json;

const MIB: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("docs/screenshots"), PathBuf::from);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let browser = Browser::start().await?;
    let only = std::env::args().nth(2);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    if wanted("8") {
        few(&browser, &folder).await?;
    }
    if wanted("200") {
        many(&browser, &folder).await?;
    }
    if wanted("bare") {
        bare(&browser, &folder).await?;
    }
    browser.quit().await
}

/// Eight machines: six begin, one of them stalls, two join later, two wait for a place, one fetches by HTTP.
async fn few(browser: &Browser, folder: &Path) -> Result<()> {
    let image = "win11-edu.img";
    let plan = Plan::of(image, 128 * MIB, "50mbit")
        .image("ubuntu-24.04-lab.img", 48 * MIB)
        .image("gimp-3.0.tar", 6 * MIB)
        .with(
            "[start]\nclients = 6\nwait = \"5m\"\n[clients]\nmax = 8\n\
             [[image]]\nfile = \"win11-edu.img\"\nversion = \"2026-11\"\npriority = 7\n\
             [[image]]\nfile = \"ubuntu-24.04-lab.img\"\nversion = \"24.04.3\"\nstart = { on_command = true }\n\
             [[image]]\nfile = \"gimp-3.0.tar\"\nmulticast = \"never\"\n",
        );
    let point = Point::start(&plan).await?;
    browser.sign_in(&point.url(), TOKEN).await?;
    let mut machines = Vec::new();
    for number in 1..=6 {
        machines.push(point.modest_machine(&format!("lab1-pc{number:02}"), image)?);
        pause(400).await;
    }
    let session = point.session_where(image, |session| session["state"] == "running").await?;
    browser.open(&format!("{}#/session/{}", point.url(), session["id"].as_str().unwrap_or_default())).await?;
    reach(&point, image, 0.12).await?;
    machines[3].stall()?;
    pause(5000).await;
    machines[3].go_on()?;
    for number in 7..=8 {
        machines.push(point.machine(&format!("lab1-pc{number:02}"), image)?);
        pause(1000).await;
    }
    let mut waiting = Vec::new();
    for number in 9..=10 {
        waiting.push(point.machine(&format!("lab1-pc{number:02}"), image)?);
        pause(500).await;
    }
    let fetcher = point.fetcher("library-03", "gimp-3.0.tar");
    for piece in 0..2 {
        fetcher.fetch(piece * MIB as u64, (piece + 1) * MIB as u64, (piece as u32 + 1, 5)).await?;
        pause(2500).await;
    }
    reach(&point, image, 0.55).await?;
    both(browser, folder, "session-8").await?;
    browser.open(&format!("{}#/", point.url())).await?;
    browser.shows("#overview", "lab1-pc10").await?;
    both(browser, folder, "overview-8").await
}

/// Two hundred machines, which come in three waves; some stall for a while, three are switched off.
async fn many(browser: &Browser, folder: &Path) -> Result<()> {
    let image = "win11-edu.img";
    let plan = Plan::of(image, 16 * MIB, "2mbit")
        .with("[start]\nclients = 140\n[[image]]\nfile = \"win11-edu.img\"\nversion = \"2026-11\"\n");
    let point = Point::start(&plan).await?;
    browser.sign_in(&point.url(), TOKEN).await?;
    let mut machines: Vec<Machine> = Vec::new();
    join(&point, image, &mut machines, 140).await?;
    let session = point.session_where(image, |session| session["state"] == "running").await?;
    browser.open(&format!("{}#/session/{}", point.url(), session["id"].as_str().unwrap_or_default())).await?;
    reach(&point, image, 0.2).await?;
    join(&point, image, &mut machines, 40).await?;
    let stalled: Vec<usize> = (5..machines.len()).step_by(23).collect();
    for &number in &stalled {
        machines[number].stall()?;
    }
    pause(4000).await;
    for &number in &stalled {
        machines[number].go_on()?;
    }
    join(&point, image, &mut machines, 20).await?;
    for number in [150, 77, 12] {
        drop(machines.swap_remove(number));
    }
    reach(&point, image, 0.55).await?;
    both(browser, folder, "session-200").await?;
    browser.open(&format!("{}#/", point.url())).await?;
    browser.shows("#overview", "of 2.00 Mbit/s").await?;
    both(browser, folder, "overview-200").await
}

/// Bare machines at every stage, and three that nobody knows.
async fn bare(browser: &Browser, folder: &Path) -> Result<()> {
    let point = Point::start(&Plan::of("win11-edu.img", MIB, "50mbit").booting()).await?;
    point.put_boot_image("client", 24 * MIB).await?;
    for number in 1..=24 {
        let (name, mac) = (format!("lab1-pc{number:02}"), format!("52:54:00:00:00:{number:02x}"));
        point.send("POST", "pxe/computers", &json!({ "name": name, "macs": [mac] })).await?;
    }
    for deployment in [
        json!({ "name": "win11", "target": "known", "boot_image": "client", "image": "win11-edu.img", "once": true }),
        json!({ "name": "rescue", "target": "all", "boot_image": "client", "available_seconds": 10 }),
        json!({ "name": "inventory", "target": "computer:lab1-pc24", "boot_image": "inventory" }),
    ] {
        point.send("POST", "pxe/deployments", &deployment).await?;
    }
    browser.sign_in(&point.url(), TOKEN).await?;
    browser.open(&format!("{}#/pxe", point.url())).await?;
    for number in 1..=9 {
        let mut machine = Bare::new(number, if number % 4 == 0 { "pcbios" } else { "x86_64" });
        machine.ask().await?;
        if number <= 6 {
            machine.load().await?;
        }
        if number <= 4 {
            machine.hello(&point, &format!("lab1-pc{number:02}")).await?;
        }
        pause(300).await;
        if number % 3 == 0 {
            Bare::new(0x90 + number, "i386").ask().await?;
        }
    }
    browser.shows("#pxe [data-part=boots]", "52:54:00:00:00:99").await?;
    pause(6000).await;
    both(browser, folder, "bare-machines").await
}

/// So many more machines, a few at a time: their start takes more of the processor than their work.
async fn join(point: &Point, image: &str, machines: &mut Vec<Machine>, count: usize) -> Result<()> {
    for _ in 0..count {
        let number = machines.len();
        machines.push(point.machine(&format!("room{}-pc{:02}", number / 20 + 1, number % 20 + 1), image)?);
        pause(60).await;
    }
    Ok(())
}

async fn reach(point: &Point, image: &str, progress: f64) -> Result<()> {
    point.session_where(image, |session| session["progress"].as_f64() >= Some(progress)).await.map(drop)
}

/// A picture in either scheme.
async fn both(browser: &Browser, folder: &Path, name: &str) -> Result<()> {
    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.prefer(scheme).await?;
        browser.until(&format!("return document.documentElement.dataset.theme === '{}'", scheme.word())).await?;
        pause(300).await;
        browser.picture(&folder.join(format!("{name}-{}.png", scheme.word()))).await?;
    }
    Ok(())
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
