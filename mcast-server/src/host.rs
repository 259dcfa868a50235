//! The sessions of one engine, from hashed images to summaries.

use std::sync::atomic::{AtomicU64, Ordering};

use command_line::Interrupt;
use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};
use multicast_core::engine::{Engine, Session};
use multicast_core::layout::Layout;
use multicast_core::manifest::{CacheWriteError, Loaded, Origin};
use multicast_core::net::BufferSize;
use multicast_core::sender::SenderEvent;
use multicast_core::wire::SessionState;

use crate::cli::SendArguments;
use crate::exit::{Exit, Failure};
use crate::keyboard::{self, Key};
use crate::send::{Hashed, Image};
use crate::summary::{Reasons, Summary};
use crate::terms::Terms;
use crate::view::{About, View};

/// Events of all sessions that may wait to be shown; more of them wait with their sessions.
const WAITING_EVENTS: usize = 1024;

/// Images that are being hashed, one after the other.
pub(crate) struct Hashing<'a> {
    /// Names and bytes, the next one first.
    left: std::collections::VecDeque<(String, u64)>,
    done: Receiver<Hashed>,
    progress: &'a AtomicU64,
}

impl<'a> Hashing<'a> {
    /// They come from `done` in their order; `progress` counts the bytes of the next one.
    pub(crate) fn of(images: &[Image], done: Receiver<Hashed>, progress: &'a AtomicU64) -> Self {
        let left = images.iter().map(|image| (image.name.clone(), image.delivery.size())).collect();
        Self { left, done, progress }
    }
}

/// Shows the sessions and passes on what their user wants.
pub(crate) struct Host<'a> {
    engine: &'a Engine,
    terms: &'a Terms,
    arguments: &'a SendArguments,
    interrupt: &'a Interrupt,
    view: &'a mut dyn View,
    sessions: Vec<Running>,
    /// An event of the session of this number; `None` when it is over.
    happened: (Sender<Happening>, Receiver<Happening>),
    exits: Vec<Exit>,
    failures: Vec<Failure>,
}

type Happening = (usize, Option<SenderEvent>);

/// A session, until it is over.
struct Running {
    image: String,
    session: Option<Session>,
    reasons: Reasons,
    cancelled: bool,
    state: Option<SessionState>,
}

impl<'a> Host<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        terms: &'a Terms,
        arguments: &'a SendArguments,
        interrupt: &'a Interrupt,
        view: &'a mut dyn View,
    ) -> Self {
        let (sessions, exits, failures) = (Vec::new(), Vec::new(), Vec::new());
        let happened = bounded(WAITING_EVENTS);
        Self { engine, terms, arguments, interrupt, view, sessions, happened, exits, failures }
    }

    /// Starts a session for each image as soon as it is hashed, and goes on until all are over. What
    /// befalls one of them is no trouble of the others.
    pub(crate) fn serve(mut self, mut hashing: Hashing<'_>, mut keys: Receiver<Key>) -> Result<Exit, Failure> {
        let (happened, ticks) = (self.happened.1.clone(), tick(self.view.interval()));
        while !hashing.left.is_empty() || self.running().next().is_some() {
            select! {
                recv(hashing.done) -> hashed => match hashed {
                    Ok(hashed) => {
                        hashing.left.pop_front();
                        if hashing.left.is_empty() {
                            hashing.done = never();
                        }
                        self.begin(hashed);
                    }
                    // The thread has panicked, which its scope passes on.
                    Err(_) => hashing.left.clear(),
                },
                recv(happened) -> happening => match happening {
                    Ok((number, Some(event))) => self.note(number, &event),
                    Ok((number, None)) => self.conclude(number),
                    Err(_) => unreachable!("this end holds a sender too"),
                },
                recv(self.engine.events()) -> event => if let Ok(event) = event {
                    self.view.event(None, &event);
                },
                recv(ticks) -> _ => self.show(&hashing),
                recv(self.interrupt.wish()) -> _ => self.cancel(),
                recv(keys) -> key => match key {
                    Ok(key) => self.obey(key),
                    Err(_) => keys = never(),
                },
            }
        }
        self.view.close();
        self.result()
    }

    fn running(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().filter_map(|running| running.session.as_ref())
    }

    fn begin(&mut self, hashed: Hashed) {
        let name = hashed.image.name.clone();
        if let Err(failure) = self.try_begin(hashed) {
            self.engine.abandon(&name);
            self.fail(&name, failure);
        }
    }

    fn try_begin(&mut self, Hashed { image, hashes }: Hashed) -> Result<(), Failure> {
        let Loaded { manifest, origin } = hashes?;
        // By a signal or a command that came when its hashes were known already.
        if self.interrupt.flag().load(Ordering::Relaxed) {
            return Err(Failure::cancelled());
        }
        if let Origin::Built { kept: Err(error @ CacheWriteError::Write { .. }), .. } = &origin {
            self.view.warning(&error.to_string());
        }
        let number = self.sessions.len();
        let config = self.terms.session(number, &image.name, self.arguments);
        let session = self.engine.start_session(config, image.delivery, manifest)?;
        let cached = matches!(origin, Origin::Cached { .. });
        self.view.session(self.about(&session, &image.layout, image.name.clone(), cached));
        if number == 0 {
            self.warn_of_small_buffer(session.send_buffer());
        }
        let (events, happened) = (session.events().clone(), self.happened.0.clone());
        self.sessions.push(Running {
            image: image.name,
            session: Some(session),
            reasons: Reasons::default(),
            cancelled: false,
            state: None,
        });
        std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                for event in events.iter().map(Some).chain([None]) {
                    if happened.send((number, event)).is_err() {
                        return;
                    }
                }
            })
            .map(drop)
            .map_err(|error| Failure::of(Exit::Error, &error))
    }

    fn about(&self, session: &Session, layout: &Layout, image: String, manifest_cached: bool) -> About {
        About {
            session: session.id(),
            image,
            files: layout.files().to_vec(),
            bytes: layout.image_size(),
            blocks: layout.blocks(),
            symbol_size: layout.geometry().symbol_size,
            image_symbols: layout.image_symbols(),
            group: session.group().ip(),
            port: session.group().port(),
            control: self.engine.control_address(),
            interface: self.terms.interface.name.clone(),
            rate: self.terms.profile.rate(),
            total_rate: self.terms.total_rate,
            adaptive: self.terms.adaptive,
            send_buffer: session.send_buffer(),
            manifest_cached,
        }
    }

    fn warn_of_small_buffer(&mut self, BufferSize { asked, granted }: BufferSize) {
        // The system counts its own overhead; half of what was asked for still does.
        if granted < asked / 2 {
            self.view.warning(&format!(
                "the send buffer is {granted} bytes, {asked} were asked for: raise net.core.wmem_max for high rates"
            ));
        }
    }

    fn note(&mut self, number: usize, event: &SenderEvent) {
        let running = &mut self.sessions[number];
        running.reasons.note(event);
        self.view.event(running.session.as_ref().map(Session::id), event);
    }

    /// The session of this number is over.
    fn conclude(&mut self, number: usize) {
        let running = &mut self.sessions[number];
        let Some(session) = running.session.take() else { return };
        match session.wait() {
            Ok(ended) => {
                self.view.progress(&ended.snapshot);
                let summary = Summary::new(&ended, &running.reasons, running.cancelled, self.arguments.keep_open);
                self.exits.push(summary.exit());
                self.view.summary(&summary);
            }
            Err(error) => {
                let image = std::mem::take(&mut running.image);
                self.fail(&image, error.into());
            }
        }
    }

    fn fail(&mut self, what: &str, failure: Failure) {
        // The only one's is the program's, which says it at its end.
        if self.arguments.each {
            self.view.warning(&format!("{what}: {}", failure.text()));
        }
        self.failures.push(failure);
    }

    fn show(&mut self, hashing: &Hashing<'_>) {
        if let Some((name, bytes)) = hashing.left.front() {
            self.view.hashing(name, hashing.progress.load(Ordering::Relaxed), *bytes);
        }
        for running in &mut self.sessions {
            if let Some(snapshot) = running.session.as_ref().and_then(Session::snapshot) {
                self.view.progress(&snapshot);
                running.state = Some(snapshot.state);
            }
        }
    }

    fn cancel(&mut self) {
        for running in &mut self.sessions {
            if let Some(session) = &running.session {
                session.cancel();
                running.cancelled = true;
            }
        }
    }

    fn obey(&mut self, key: Key) {
        match key {
            Key::Start => self.running().for_each(Session::start_now),
            Key::Pause => {
                let paused = self.sessions.iter().any(|running| running.state == Some(SessionState::Paused));
                self.running().for_each(if paused { Session::resume } else { Session::pause });
            }
            Key::Quit => {
                // What is still being hashed is not to begin.
                self.interrupt.flag().store(true, Ordering::Relaxed);
                self.cancel();
            }
            Key::Unknown => return self.view.typed(Some(keyboard::KEYS)),
        }
        self.view.typed(None);
    }

    /// The gravest end of all: an error, then what its user ended, then a client without its image.
    fn result(mut self) -> Result<Exit, Failure> {
        if !self.failures.is_empty() {
            let gravest = self.failures.iter().position(|failure| !failure.is_cancelled()).unwrap_or(0);
            return Err(self.failures.swap_remove(gravest));
        }
        let worst = [Exit::Cancelled, Exit::Incomplete].into_iter().find(|exit| self.exits.contains(exit));
        Ok(worst.unwrap_or(Exit::Success))
    }
}
