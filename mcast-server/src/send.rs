//! `mcast-server send`: images, a session for each delivery, and the end of all.

use std::sync::atomic::{AtomicU64, Ordering};

use command_line::Interrupt;
use crossbeam_channel::{Sender, never, unbounded};
use multicast_core::engine::Engine;
use multicast_core::image::Delivery;
use multicast_core::layout::{Geometry, Layout};
use multicast_core::manifest::{self, BuildError, Loaded};

use crate::cli::SendArguments;
use crate::exit::{Exit, Failure};
use crate::host::{Hashing, Host};
use crate::keyboard;
use crate::terms::Terms;
use crate::view;

/// What a session is to serve.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) delivery: Delivery,
    pub(crate) layout: Layout,
}

/// An image whose hashes are known, or cannot be.
pub(crate) struct Hashed {
    pub(crate) image: Image,
    pub(crate) hashes: Result<Loaded, BuildError>,
}

/// Serves until every client has its image, or nobody is left who could get it.
pub(crate) fn run(arguments: &SendArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    let terms = Terms::settle(arguments)?;
    let images = open_all(arguments, &terms)?;
    let engine = Engine::start(terms.engine(arguments))?;
    images.iter().for_each(|image| engine.prepare(&image.name));

    let on_terminal = !arguments.json && view::is_live() && std::io::IsTerminal::is_terminal(&std::io::stdin());
    let keys = if on_terminal || arguments.start_on_command { keyboard::listen() } else { never() };
    let mut view = view::choose(arguments.json, on_terminal, images.len());
    for warning in &terms.warnings {
        view.warning(warning);
    }
    let progress = AtomicU64::new(0);
    let (tell, done) = unbounded();
    let hashing = Hashing::of(&images, done, &progress);
    std::thread::scope(|scope| {
        scope.spawn(|| hash_all(images, &terms, interrupt, &progress, &tell));
        Host::new(&engine, &terms, arguments, interrupt, view.as_mut()).serve(hashing, keys)
    })
}

/// Opens the images: one delivery of all files, or one of each.
fn open_all(arguments: &SendArguments, terms: &Terms) -> Result<Vec<Image>, Failure> {
    if !arguments.each {
        let mut image = open(Delivery::open(&arguments.images)?, terms)?;
        image.name = arguments.name.clone().unwrap_or(image.name);
        return Ok(vec![image]);
    }
    let mut images: Vec<Image> = Vec::new();
    for path in &arguments.images {
        let image = open(Delivery::open(std::slice::from_ref(path))?, terms)?;
        if images.iter().any(|other| other.name == image.name) {
            let text = format!("--each: two images are named {:?}, by which clients ask for one", image.name);
            return Err(Failure::new(Exit::Usage, text).with_help(Some("rename one of them, or link to it")));
        }
        images.push(image);
    }
    Ok(images)
}

/// Finds out whether a delivery's WIMs are sound, and cuts it.
fn open(delivery: Delivery, terms: &Terms) -> Result<Image, Failure> {
    for file in 0..delivery.files().len() {
        delivery.wim(file)?;
    }
    let geometry = Geometry::for_size(delivery.size(), terms.symbol_size());
    let layout = Layout::new(geometry, delivery.file_entries())?;
    Ok(Image { name: delivery.name().to_owned(), delivery, layout })
}

/// Hashes one image after the other, each on all cores: so the first session begins as soon as it can.
fn hash_all(images: Vec<Image>, terms: &Terms, interrupt: &Interrupt, progress: &AtomicU64, tell: &Sender<Hashed>) {
    for image in images {
        progress.store(0, Ordering::Relaxed);
        let note = |bytes| progress.store(bytes, Ordering::Relaxed);
        let (delivery, layout) = (&image.delivery, &image.layout);
        let hashes = manifest::load_or_build(delivery, layout, &terms.cache, 0, note, interrupt.flag());
        // The other end waits for all of them.
        let _ = tell.send(Hashed { image, hashes });
    }
}
