//! Where the log goes: text, JSON, or the journal.

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Begins to log; once a process.
pub(super) fn install(settings: &Log) {
    let registry = tracing_subscriber::registry();
    let level = settings.level.clone();
    let journal = match settings.format {
        LogFormat::Journald => true,
        // systemd says so of the standard error, which then is a socket to the journal.
        LogFormat::Auto => std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal(),
        LogFormat::Text | LogFormat::Json => false,
    };
    if journal && let Ok(journal) = tracing_journald::layer() {
        registry.with(journal.with_filter(level)).init();
    } else if settings.format == LogFormat::Json {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).with_filter(level)).init();
    } else {
        let text = tracing_subscriber::fmt::layer().with_target(false).with_ansi(std::io::stderr().is_terminal());
        registry.with(text.with_writer(std::io::stderr).with_filter(level)).init();
    }
}
