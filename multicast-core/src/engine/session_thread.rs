//! The thread of a session: drives a [`Ladder`] over sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, unbounded};

use super::clock::Clock;
use super::error::{EngineError, SessionError};
use super::gather::Gather;
use super::outlets::Outlets;
use super::places::Places;
use super::priority;
use super::session::{Inbound, Session, SessionConfig, SessionSummary};
use super::share::{Share, TotalRate};
use crate::image::Delivery;
use crate::manifest::Manifest;
use crate::net::{ControlSocket, MAX_BATCH_BYTES, MAX_SEGMENTS, NetError, SenderOptions};
use crate::pace::{Profile, Rate, headers_on_wire, largest_payload};
use crate::sender::{Ladder, SenderConfig, SenderEvent, StreamWish, Transmit};
use crate::types::{Instant, SessionId};
use crate::wire::{SYMBOL_HEADER_LEN, SessionState};

/// Between two looks whether the image is still what it was.
const IMAGE_CHECK: Duration = Duration::from_secs(1);
/// What came in is looked at in such portions, so that a flood does not keep the stream waiting.
const INBOX_TURN: usize = 64;
/// Events that may wait for a listener; who does not listen misses the later ones.
const EVENTS_LIMIT: usize = 65_536;
/// After the network failed for now.
const NETWORK_PAUSE: Duration = Duration::from_millis(100);

/// What the session's thread works with.
pub(super) struct SessionThread {
    id: SessionId,
    group: SocketAddr,
    ladder: Ladder,
    /// Until the session is over.
    gather: Option<Gather>,
    outlets: Outlets,
    control: Arc<ControlSocket>,
    inbox: Receiver<Inbound>,
    events: Channel<SenderEvent>,
    clock: Clock,
    /// Its part of what all sessions may send together.
    share: Option<Share>,
    next_check: Instant,
    started: Option<Instant>,
    image: (u64, u64),
}

impl SessionThread {
    #[allow(clippy::too_many_arguments, reason = "called once; a struct would only repeat the names")]
    pub(super) fn new(
        (id, group): (SessionId, SocketAddr),
        config: SessionConfig,
        delivery: Delivery,
        manifest: Manifest,
        places: Places,
        control: Arc<ControlSocket>,
        (inbound, inbox): (Channel<Inbound>, Receiver<Inbound>),
        clock: Clock,
        total: Option<&Arc<TotalRate>>,
    ) -> Result<Self, EngineError> {
        let segment = SYMBOL_HEADER_LEN + usize::from(manifest.layout.geometry().symbol_size);
        let limit = largest_payload(group.ip(), places.interface.mtu);
        if segment > limit {
            return Err(EngineError::SymbolTooLarge {
                symbol: manifest.layout.geometry().symbol_size,
                datagram: segment,
                interface: places.interface.name.clone(),
                limit,
            });
        }
        let options = SenderOptions { ttl: config.ttl, dscp: config.dscp, send_buffer: config.profile.send_buffer() };
        let outlets = Outlets::new((id, group), options, places, control.clone(), inbound)?;
        let headers = headers_on_wire(group.ip());
        // Sessions that share a rate may all send a burst at the same time.
        let largest = total.map_or(u32::MAX, |total| Profile::Custom(total.rate()).burst());
        let burst = config.profile.burst().min(largest);
        let batch = MAX_SEGMENTS.min(MAX_BATCH_BYTES / segment).min(burst as usize / (segment + headers)).max(1);
        let priority = delivery.priority_blocks(&manifest.layout)?;
        let terms = SenderConfig {
            session: id,
            image: config.name,
            group,
            source: Some(outlets.main().local_address().ip()),
            source_specific: config.source_specific,
            layout: manifest.layout.clone(),
            manifest_root: manifest.root().0,
            priority,
            start: config.start,
            max_clients: config.max_clients,
            silence: config.silence,
            keep_open: config.keep_open,
            rate: config.profile.rate(),
            burst,
            adaptive: config.adaptive,
            first_rate: None,
            batch: batch as u16,
            headers: headers as u32,
        };
        let share = total.map(|total| total.join(id, config.weight)).transpose()?;
        let mut ladder = Ladder::new(terms, config.ladder, clock.now());
        // Until it has asked for more.
        ladder.set_share(clock.now(), share.as_ref().map(|_| Rate::MIN));
        // Nobody listens until it starts.
        let (events, _) = unbounded();
        Ok(Self {
            id,
            group,
            ladder,
            gather: Some(Gather::new(delivery, &manifest)),
            image: (manifest.layout.image_size(), manifest.layout.image_symbols()),
            outlets,
            control,
            inbox,
            events,
            clock,
            share,
            next_check: clock.now() + IMAGE_CHECK,
            started: None,
        })
    }

    /// Runs it in a thread of its own; `at_end` is called when it is over, or cannot begin.
    pub(super) fn start(
        mut self,
        inbound: Channel<Inbound>,
        at_end: impl FnOnce() + Send + Clone + 'static,
    ) -> Result<Session, EngineError> {
        let (events_in, events) = unbounded();
        self.events = events_in;
        let (id, group, send_buffer) = (self.id, self.group, self.outlets.main().send_buffer());
        let ended = at_end.clone();
        let thread = std::thread::Builder::new().name("mcast-session".into()).spawn(move || {
            priority::raise();
            let result = self.run();
            ended();
            result
        });
        match thread {
            Ok(thread) => Ok(Session { id, group, send_buffer, inbound, events, thread }),
            Err(source) => {
                at_end();
                Err(EngineError::System { what: "a thread", source })
            }
        }
    }

    fn run(mut self) -> Result<SessionSummary, SessionError> {
        let result = self.serve();
        if result.is_err() {
            // Whatever went wrong, the clients are told that it is over.
            self.ladder.cancel(self.clock.now());
            while let Some((stream, transmit)) = self.ladder.poll_transmit(self.clock.now()) {
                if !matches!(transmit, Transmit::Symbols { .. }) {
                    let _ = self.transmit(stream, transmit);
                }
            }
        }
        self.tell_events();
        result?;
        let now = self.clock.now();
        Ok(SessionSummary {
            snapshot: self.ladder.snapshot(now),
            image_bytes: self.image.0,
            image_symbols: self.image.1,
            seconds: self.started.map_or(0.0, |started| (now - started).as_secs_f64()),
            socket: self.outlets.stats(),
            gso: self.outlets.main().gso(),
        })
    }

    fn serve(&mut self) -> Result<(), SessionError> {
        while !self.ladder.is_finished() {
            for _ in 0..INBOX_TURN {
                let Ok(inbound) = self.inbox.try_recv() else { break };
                self.handle(inbound);
            }
            let now = self.clock.now();
            if self.ladder.poll_timeout(now).is_some_and(|due| due <= now) {
                self.ladder.handle_timeout(now);
            }
            if self.ladder.state() == SessionState::Ended {
                self.let_go();
            }
            if now >= self.next_check {
                self.check_unchanged()?;
                self.next_check = now + IMAGE_CHECK;
            }
            self.settle_share(now);
            self.tell_events();
            self.fulfil_wishes(now);
            if let Some((stream, transmit)) = self.ladder.poll_transmit(now) {
                self.transmit(stream, transmit)?;
                continue;
            }
            let mut due = self.ladder.poll_timeout(now).unwrap_or(now).min(self.next_check);
            if let Some(share_due) = self.share.as_ref().and_then(Share::due) {
                due = due.min(share_due);
            }
            match self.inbox.recv_timeout(self.clock.until(due)) {
                Ok(inbound) => self.handle(inbound),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(self.clock.until(due)),
            }
        }
        Ok(())
    }

    /// Tells the other sessions what this one could send at, and holds what that leaves it.
    fn settle_share(&mut self, now: Instant) {
        if let Some(share) = &mut self.share
            && let Some(rate) = share.settle(now, self.ladder.wanted_rate())
        {
            self.ladder.set_share(now, Some(rate));
        }
    }

    fn handle(&mut self, inbound: Inbound) {
        let now = self.clock.now();
        match inbound {
            Inbound::Datagram(from, datagram) => self.ladder.handle_datagram(now, from, &datagram),
            Inbound::Start => self.ladder.start(now),
            Inbound::Pause => self.ladder.pause(),
            Inbound::Resume => self.ladder.resume(now),
            Inbound::Cancel => self.ladder.cancel(now),
            Inbound::Suspend => self.ladder.suspend(now),
            Inbound::Remove(client) => {
                self.ladder.remove(now, client);
            }
            Inbound::Close => {
                self.ladder.close(now);
            }
            // Whoever asked may have stopped waiting.
            Inbound::Coverage(columns, reply) => drop(reply.send(self.ladder.coverage(columns))),
            Inbound::Snapshot(reply) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.ladder.snapshot(now));
            }
        }
    }

    /// Opens and closes streams.
    fn fulfil_wishes(&mut self, now: Instant) {
        while let Some(wish) = self.ladder.poll_wish() {
            match wish {
                StreamWish::Open { to } => match self.outlets.open(to) {
                    Ok((stream, to)) => self.ladder.open(now, stream, to),
                    Err(error) => self.ladder.give_up_opening(now, &error.to_string()),
                },
                StreamWish::Close(stream) => self.outlets.close(stream),
            }
        }
    }

    fn transmit(&mut self, stream: SessionId, transmit: Transmit) -> Result<(), SessionError> {
        let sent = match transmit {
            Transmit::Symbols { run, sequence } => {
                self.started.get_or_insert_with(|| self.clock.now());
                // None are handed out when it is over.
                let Some(gather) = &mut self.gather else { return Ok(()) };
                self.outlets.symbols(stream, gather, run, sequence)
            }
            Transmit::Group(datagram) => self.outlets.datagram(stream, &datagram),
            Transmit::Client(to, datagram) => {
                // A lost answer is asked for again, whatever lost it.
                let _ = self.control.send_to(&datagram, to);
                Ok(())
            }
        };
        match sent {
            Err(SessionError::Net(NetError::Vanished)) => {
                self.check_unchanged()?;
                Err(NetError::Vanished.into())
            }
            // What was not sent is missed by all clients, and repaired when the network is back.
            Err(SessionError::Net(error)) if error.is_transient() => {
                std::thread::sleep(NETWORK_PAUSE);
                Ok(())
            }
            other => other,
        }
    }

    fn check_unchanged(&self) -> Result<(), SessionError> {
        Ok(self.gather.as_ref().map_or(Ok(()), |gather| gather.delivery().check_unchanged())?)
    }

    /// Gives the image back, beside the farewells: to unmap 1 GiB takes 55 ms.
    fn let_go(&mut self) {
        if let Some(gather) = self.gather.take() {
            // Without a thread it happens here.
            let _ = std::thread::Builder::new().name("let-go".into()).spawn(move || drop(gather));
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.ladder.poll_event() {
            // Nobody has to listen.
            if self.events.len() < EVENTS_LIMIT {
                let _ = self.events.send(event);
            }
        }
    }
}
