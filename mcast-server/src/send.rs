//! `mcast-server send`: one image, one session, and the end of both.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{RecvTimeoutError, bounded, never, select, tick};
use multicast_core::engine::{Engine, Session};
use multicast_core::image::Delivery;
use multicast_core::layout::{Geometry, Layout};
use multicast_core::manifest::{self, BuildError, CacheWriteError, Loaded, Manifest, Origin};
use multicast_core::net::BufferSize;
use multicast_core::wire::SessionState;

use crate::cli::SendArguments;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::keyboard::{self, Key};
use crate::summary::{Reasons, Summary};
use crate::terms::Terms;
use crate::view::{self, About, View};

/// Serves until every client has the image, or nobody is left who could get it.
pub(crate) fn run(arguments: &SendArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    let terms = Terms::settle(arguments)?;
    let (delivery, layout) = open(arguments, &terms)?;
    let name = arguments.name.as_deref().unwrap_or(delivery.name()).to_owned();
    let engine = Engine::start(terms.engine(arguments.control_port))?;
    engine.prepare(&name);

    let on_terminal = !arguments.json && view::is_live() && std::io::IsTerminal::is_terminal(&std::io::stdin());
    let keys = if on_terminal || arguments.start_on_command { keyboard::listen() } else { never() };
    let mut view = view::choose(arguments.json, on_terminal);
    let view = view.as_mut();
    for warning in &terms.warnings {
        view.warning(warning);
    }
    let manifest = hash(&delivery, &layout, &terms, view, interrupt)?;
    let session = engine.start_session(terms.session(&name, arguments), delivery, manifest.manifest)?;
    view.session(about(&session, &engine, &terms, &layout, name, manifest.cached));
    warn_of_small_buffer(session.send_buffer(), view);
    let (session, reasons, cancelled) = watch(session, &engine, view, interrupt, keys)?;
    let summary = Summary::new(&session, &reasons, cancelled, arguments.keep_open);
    view.summary(&summary);
    Ok(summary.exit())
}

/// Opens the image, finds out whether its WIMs are sound, and cuts it.
fn open(arguments: &SendArguments, terms: &Terms) -> Result<(Delivery, Layout), Failure> {
    let delivery = Delivery::open(&arguments.images)?;
    for file in 0..delivery.files().len() {
        delivery.wim(file)?;
    }
    let geometry = Geometry::for_size(delivery.size(), terms.symbol_size());
    let layout = Layout::new(geometry, delivery.file_entries())?;
    Ok((delivery, layout))
}

/// The image's hashes.
struct Hashed {
    manifest: Manifest,
    cached: bool,
}

fn hash(
    delivery: &Delivery,
    layout: &Layout,
    terms: &Terms,
    view: &mut dyn View,
    interrupt: &Interrupt,
) -> Result<Hashed, Failure> {
    let hashed = AtomicU64::new(0);
    let (tell, answer) = bounded(1);
    let loaded = std::thread::scope(|scope| {
        scope.spawn(|| {
            let progress = |bytes| hashed.store(bytes, Ordering::Relaxed);
            let loaded = manifest::load_or_build(delivery, layout, &terms.cache, 0, progress, interrupt.flag());
            // The other end waits for it.
            let _ = tell.send(loaded);
        });
        loop {
            match answer.recv_timeout(view.interval()) {
                Ok(loaded) => return loaded,
                Err(RecvTimeoutError::Timeout) => view.hashing(hashed.load(Ordering::Relaxed), delivery.size()),
                // The thread has panicked, which the scope passes on.
                Err(RecvTimeoutError::Disconnected) => return Err(BuildError::Cancelled),
            }
        }
    });
    let Loaded { manifest, origin } = loaded?;
    if let Origin::Built { kept: Err(error @ CacheWriteError::Write { .. }), .. } = &origin {
        view.warning(&error.to_string());
    }
    Ok(Hashed { manifest, cached: matches!(origin, Origin::Cached { .. }) })
}

fn about(session: &Session, engine: &Engine, terms: &Terms, layout: &Layout, image: String, cached: bool) -> About {
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
        control: engine.control_address(),
        interface: terms.interface.name.clone(),
        rate: terms.profile.rate(),
        adaptive: terms.adaptive,
        send_buffer: session.send_buffer(),
        manifest_cached: cached,
    }
}

fn warn_of_small_buffer(buffer: BufferSize, view: &mut dyn View) {
    let BufferSize { asked, granted } = buffer;
    // The system counts its own overhead; half of what was asked for still does.
    if granted < asked / 2 {
        view.warning(&format!(
            "the send buffer is {granted} bytes, {asked} were asked for: raise net.core.wmem_max for high rates"
        ));
    }
}

type Watched = (multicast_core::engine::SessionSummary, Reasons, bool);

/// Shows the session and passes on what its user wants, until it is over.
fn watch(
    session: Session,
    engine: &Engine,
    view: &mut dyn View,
    interrupt: &Interrupt,
    mut keys: crossbeam_channel::Receiver<Key>,
) -> Result<Watched, Failure> {
    let (mut reasons, mut cancelled) = (Reasons::default(), false);
    let ticks = tick(view.interval());
    let mut last = None;
    loop {
        select! {
            recv(session.events()) -> event => match event {
                Ok(event) => {
                    reasons.note(&event);
                    view.event(&event);
                }
                Err(_) => break,
            },
            recv(engine.events()) -> event => if let Ok(event) = event {
                view.event(&event);
            },
            recv(ticks) -> _ => if let Some(snapshot) = session.snapshot() {
                view.progress(&snapshot);
                last = Some(snapshot.state);
            },
            recv(interrupt.wish()) -> _ => {
                session.cancel();
                cancelled = true;
            }
            recv(keys) -> key => match key {
                Err(_) => keys = never(),
                Ok(Key::Start) => {
                    session.start_now();
                    view.typed(None);
                }
                Ok(Key::Pause) => {
                    if last == Some(SessionState::Paused) { session.resume() } else { session.pause() }
                    view.typed(None);
                }
                Ok(Key::Quit) => {
                    session.cancel();
                    cancelled = true;
                    view.typed(None);
                }
                Ok(Key::Unknown) => view.typed(Some(keyboard::KEYS)),
            },
        }
    }
    let summary = session.wait()?;
    view.progress(&summary.snapshot);
    Ok((summary, reasons, cancelled))
}
