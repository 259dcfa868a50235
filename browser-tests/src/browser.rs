//! A browser that nobody sees, and what a person does and sees in it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::prelude::*;
use thirtyfour::{BrowserLogEntry, LoggingPrefsLogLevel};

use crate::LIMIT;
use crate::programs::Process;

/// Between two looks at the page.
const TICK: Duration = Duration::from_millis(50);
/// Nothing but what the page needs: no window, no GPU, and no traffic of the browser's own.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1440,900",
];

/// What the system says about colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Its name, as media queries have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A chromium with an empty profile; it ends when this is dropped.
pub struct Browser {
    driver: WebDriver,
    _chromedriver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// If chromium or chromedriver are not installed (Debian: `chromium`, `chromium-driver`).
    pub async fn start() -> Result<Self> {
        // Whatever else is built with this may have taken the choice of a provider away.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let profile = TempDir::with_prefix("mcast-browser-")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).env("HOME", profile.path()).env("TMPDIR", profile.path());
        let mut chromedriver = Process::start(&mut command, &profile.path().join("chromedriver.log"))
            .context("chromedriver is needed: apt-get install chromium chromium-driver")?;
        let mut wanted = DesiredCapabilities::chrome();
        for argument in ARGUMENTS {
            wanted.add_arg(argument)?;
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().join("profile").display()))?;
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        let begun = Instant::now();
        let driver = loop {
            match WebDriver::new(format!("http://127.0.0.1:{port}"), wanted.clone()).await {
                Ok(driver) => break driver,
                Err(error) if begun.elapsed() > LIMIT || chromedriver.ended()?.is_some() => {
                    bail!("no browser: {error}; chromedriver said:\n{}", chromedriver.said());
                }
                Err(_) => tokio::time::sleep(TICK).await,
            }
        };
        let browser = Self { driver, _chromedriver: chromedriver, _profile: profile };
        browser.size(1440, 900).await?;
        Ok(browser)
    }

    /// Makes the window's inside this large, in CSS pixels, scroll bars left out.
    ///
    /// # Errors
    /// If the browser has gone.
    pub async fn size(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", size).await?;
        self.driver.cdp().send_raw("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
        Ok(())
    }

    /// Has the system prefer these colours.
    ///
    /// # Errors
    /// If the browser has gone.
    pub async fn prefer(&self, scheme: Scheme) -> Result<()> {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme.word() }] });
        self.driver.cdp().send_raw("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// Opens an address.
    ///
    /// # Errors
    /// If nothing answers there.
    pub async fn open(&self, url: &str) -> Result<()> {
        Ok(self.driver.goto(url).await?)
    }

    /// Opens the page at `url`, signs in, and waits for the first news.
    ///
    /// # Errors
    /// If the token is not taken.
    pub async fn sign_in(&self, url: &str, token: &str) -> Result<()> {
        self.open(url).await?;
        self.shows("#sign-in", "Sign in").await?;
        self.type_in("#token", token).await?;
        self.click("#sign-in-button").await?;
        self.shows("#connection", "live").await
    }

    /// Clicks what `selector` finds, as a person does: it must be in view and not covered.
    ///
    /// # Errors
    /// If it is not there or cannot be clicked in time.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let done = async { self.driver.find(By::Css(selector)).await?.click().await }.await;
            match done {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > LIMIT => bail!("{selector} cannot be clicked: {error}"),
                Err(_) => tokio::time::sleep(TICK).await,
            }
        }
    }

    /// Types into what `selector` finds.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn type_in(&self, selector: &str, text: &str) -> Result<()> {
        let field = self.driver.find(By::Css(selector)).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Types where the focus is.
    ///
    /// # Errors
    /// If the browser has gone.
    pub async fn type_keys(&self, text: &str) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(text).perform().await?)
    }

    /// Looks at the session of this number, once signed in.
    ///
    /// # Errors
    /// If it is not shown.
    pub async fn go_to_session(&self, id: &str) -> Result<()> {
        self.value(&format!("location.hash = '#/session/{id}'")).await?;
        self.until("return document.querySelectorAll('#session table.clients th[scope=row]').length > 0").await?;
        Ok(())
    }

    /// Presses a key where the focus is.
    ///
    /// # Errors
    /// If the browser has gone.
    pub async fn press(&self, key: Key) -> Result<()> {
        Ok(self.driver.action_chain().key_down(key.clone()).key_up(key).perform().await?)
    }

    /// Presses Tab until `wanted`, a selector, has the focus; so many times at most.
    ///
    /// # Errors
    /// If it never has.
    pub async fn tab_to(&self, wanted: &str, most: usize) -> Result<()> {
        let mut passed = Vec::new();
        for _ in 0..most {
            self.press(Key::Tab).await?;
            let here =
                self.driver.execute("return document.activeElement.matches(arguments[0])", vec![json!(wanted)]).await?;
            if here.json() == &Value::Bool(true) {
                return Ok(());
            }
            let name = "const e = document.activeElement; return e.id || e.textContent.slice(0, 30) || e.tagName";
            passed.push(self.value(name).await?.to_string());
        }
        bail!("{wanted} is not reached by {most} tabs, which lead over {passed:?}")
    }

    /// What a script returns.
    ///
    /// # Errors
    /// If it throws.
    pub async fn value(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, Vec::new()).await?.json().clone())
    }

    /// What a script gives to its callback, `arguments[0]`.
    ///
    /// # Errors
    /// If it throws, or never calls back.
    pub async fn awaited(&self, script: &str) -> Result<Value> {
        self.driver.set_script_timeout(LIMIT).await?;
        Ok(self.driver.execute_async(script, Vec::new()).await?.json().clone())
    }

    /// Waits until a script returns something true.
    ///
    /// # Errors
    /// If that does not come true.
    pub async fn until(&self, script: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let value = self.value(script).await?;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return Ok(value);
            }
            if begun.elapsed() > LIMIT {
                bail!("never true: {script}\nthe page shows:\n{}", self.text("body").await?);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Waits until what `selector` finds shows `text` to a person.
    ///
    /// # Errors
    /// If it does not.
    pub async fn shows(&self, selector: &str, text: &str) -> Result<()> {
        let script = format!(
            "return [...document.querySelectorAll({})].some((e) => e.checkVisibility() && e.innerText.includes({}))",
            json!(selector),
            json!(text)
        );
        self.until(&script).await.with_context(|| format!("{selector} does not show {text:?}"))?;
        Ok(())
    }

    /// The text that what `selector` finds shows.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let script = "return document.querySelector(arguments[0]).innerText";
        let text = self.driver.execute(script, vec![json!(selector)]).await?;
        Ok(text.json().as_str().unwrap_or_default().to_owned())
    }

    /// What the page complained about since the last question: errors of scripts, breaches of its policy. An answer
    /// that the page asked for and was refused is none.
    ///
    /// # Errors
    /// If the browser has gone.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.driver.browser_log().await?;
        let wrong = |entry: &&BrowserLogEntry| {
            matches!(entry.level.as_str(), "SEVERE" | "WARNING") && entry.source.as_deref() != Some("network")
        };
        Ok(log.iter().filter(wrong).map(|entry| entry.message.clone()).collect())
    }

    /// A picture of what is in view, as PNG.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn picture(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, self.driver.screenshot_as_png().await?)?)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// If it has gone already.
    pub async fn quit(self) -> Result<()> {
        Ok(self.driver.quit().await?)
    }
}
