//! The thread's part.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::super::agenda::Agenda;
use super::super::desk::{self, Admission, Asked, Unfit};
use super::super::door::{Door, Knock};
use super::super::event::{Aborted, Event};
use super::super::line::{self, Line};
use super::super::source::{Asker, Content, Refusal, Source, is_exhaustion};
use super::super::wire::{ErrorCode, Packet};
use super::super::{Terms, Time};
use super::seat::{Next, Seat};
use super::waiter::Waiter;
use super::{Settings, Shared};

/// The flag that wakes the thread.
const WAKE: u64 = 0;
/// The first of the transfers' tokens; below stand the flag's and the doors'.
const FIRST_SEAT: u64 = 1 << 32;
/// A request is a datagram of usual size (RFC 1350 §5: 512 bytes); larger ones are none.
const BUFFER: usize = 2048;
/// Requests of one address that are taken in a row before transfers have their turn.
const IN_A_ROW: usize = 32;
/// After an error of the socket itself, so that it does not keep a core busy.
const AFTER_TROUBLE: Duration = Duration::from_millis(50);

pub(super) struct Worker {
    settings: Settings,
    doors: Vec<Door>,
    source: Box<dyn Source>,
    events: Box<dyn FnMut(Event) + Send>,
    shared: Arc<Shared>,
    waiter: Waiter,
    origin: Instant,
    seats: HashMap<u64, Seat>,
    agenda: Agenda,
    next_id: u64,
    buffer: Vec<u8>,
}

impl Worker {
    pub(super) fn new(
        settings: Settings,
        doors: Vec<Door>,
        source: Box<dyn Source>,
        events: Box<dyn FnMut(Event) + Send>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let waiter = Waiter::new()?;
        waiter.add_flag(&shared.wake, WAKE)?;
        for (token, door) in (WAKE + 1..).zip(&doors) {
            waiter.add(door.socket(), token)?;
        }
        Ok(Self {
            settings,
            doors,
            source,
            events,
            shared,
            waiter,
            origin: Instant::now(),
            seats: HashMap::new(),
            agenda: Agenda::default(),
            next_id: FIRST_SEAT,
            buffer: vec![0; BUFFER],
        })
    }

    pub(super) fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = self.now();
            match self.waiter.wait(now, self.agenda.next()) {
                Ok(ready) => ready.for_each(|token| self.look_at(token)),
                Err(error) => self.trouble("wait for datagrams", &error),
            }
            self.keep_deadlines();
        }
        let now = self.now();
        let ids: Vec<u64> = self.seats.keys().copied().collect();
        ids.into_iter().for_each(|id| self.put_out(now, id, Aborted::Stopped));
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    fn look_at(&mut self, token: u64) {
        if token >= FIRST_SEAT {
            let now = self.now();
            // It may have been taken away in this round.
            if let Some(seat) = self.seats.get_mut(&token) {
                seat.receive(now, &mut self.buffer);
                self.advance(now, token);
            }
        } else if token > WAKE {
            self.answer_the_door((token - WAKE - 1) as usize);
        }
    }

    fn keep_deadlines(&mut self) {
        let now = self.now();
        while let Some((id, at)) = self.agenda.due(now) {
            if self.seats.get_mut(&id).is_some_and(|seat| seat.entry.take(at)) {
                self.advance(now, id);
            }
        }
    }

    fn advance(&mut self, now: Time, id: u64) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let was_blocked = seat.is_blocked();
        match seat.advance(now) {
            Next::Wait { until, blocked } => {
                if blocked != was_blocked {
                    // If it fails the retry after a while remains.
                    let _ = self.waiter.want_room(seat.line.socket(), id, blocked);
                }
                self.agenda.put(id, &mut seat.entry, until);
            }
            Next::Over(event) => {
                self.seats.remove(&id);
                self.tell(event);
            }
        }
    }

    fn put_out(&mut self, now: Time, id: u64, why: Aborted) {
        if let Some(mut seat) = self.seats.remove(&id) {
            let event = seat.end(now, why);
            self.tell(event);
        }
    }

    fn answer_the_door(&mut self, index: usize) {
        for _ in 0..IN_A_ROW {
            let Some(door) = self.doors.get_mut(index) else { return };
            match door.next(&mut self.buffer) {
                Ok(Some(knock)) => self.answer(&knock),
                Ok(None) => return,
                Err(error) => return self.trouble("receive requests", &error),
            }
        }
    }

    fn answer(&mut self, knock: &Knock) {
        let now = self.now();
        let datagram = self.buffer.get(..knock.len).unwrap_or_default();
        // Nobody can be answered at port 0.
        let asked = if knock.client.port() == 0 { Err(Unfit::Garbage) } else { desk::read(datagram) };
        match asked {
            Ok(asked) => self.admit(now, knock, asked),
            Err(Unfit::Garbage) => self.shared.counters().garbage += 1,
            Err(Unfit::Refused(why)) => {
                let refusal = Refusal::with(why.code(), why.to_string(), why.to_string());
                self.refuse(knock, None, refusal);
            }
        }
    }

    fn admit(&mut self, now: Time, knock: &Knock, asked: Asked) {
        let standing = self.seats.iter().map(|(id, seat)| seat.standing(*id, &asked));
        match desk::admit(self.settings.limits(), knock.client, standing) {
            Admission::Twice => {}
            Admission::Again(id) => {
                if let Some(seat) = self.seats.get_mut(&id) {
                    seat.request_again(now);
                }
                self.advance(now, id);
            }
            Admission::Serve { instead_of } => {
                if let Some(id) = instead_of {
                    let same_port = self.seats.get(&id).is_some_and(|seat| seat.served().client == knock.client);
                    self.put_out(now, id, if same_port { Aborted::Replaced } else { Aborted::MadeRoom });
                }
                match self.serve(now, knock, &asked) {
                    Ok(()) => {}
                    Err(refusal) => self.refuse(knock, Some(asked), refusal),
                }
            }
            Admission::Full => {
                let refusal = Refusal::silent("all places are taken by clients that answer; it will ask again");
                self.refuse(knock, Some(asked), refusal);
            }
        }
    }

    fn serve(&mut self, now: Time, knock: &Knock, asked: &Asked) -> Result<(), Refusal> {
        let seat = match self.seat(now, knock, asked) {
            Err(refusal) if refusal.exhausted && self.make_room(now, asked) => self.seat(now, knock, asked)?,
            done => done?,
        };
        let id = self.next_id;
        self.next_id += 1;
        self.waiter.add(seat.line.socket(), id).map_err(|error| no_socket(knock, &error))?;
        let event = Event::Started(seat.served().clone());
        self.seats.insert(id, seat);
        self.tell(event);
        self.advance(now, id);
        Ok(())
    }

    /// Whether somebody silent could be put out.
    fn make_room(&mut self, now: Time, asked: &Asked) -> bool {
        let standing = self.seats.iter().map(|(id, seat)| seat.standing(*id, asked));
        let Admission::Serve { instead_of: Some(id) } = desk::make_room(standing) else { return false };
        self.put_out(now, id, Aborted::MadeRoom);
        true
    }

    fn seat(&self, now: Time, knock: &Knock, asked: &Asked) -> Result<Seat, Refusal> {
        let asker = Asker { client: knock.client, server: knock.server };
        let content = self.source.open(&asked.name, asker)?;
        self.seat_for(now, knock, asked, content).map_err(|error| no_socket(knock, &error))
    }

    fn seat_for(&self, now: Time, knock: &Knock, asked: &Asked, content: Content) -> io::Result<Seat> {
        let socket = line::connect(knock.server, knock.client, self.settings.ports.as_ref(), self.next_id)?;
        let mut line = Line::new(socket, content)?;
        let limit = match self.settings.block_limit {
            Some(limit) => {
                line.let_fragment();
                limit
            }
            None => line.block_limit(),
        };
        let terms = Terms::agree(&asked.options, line.content().size(), limit, self.settings.window_limit);
        Seat::new(now, line, knock.client, asked.clone(), terms)
    }

    fn refuse(&mut self, knock: &Knock, asked: Option<Asked>, refusal: Refusal) {
        let answered = refusal.answer.is_some();
        if let Some((code, text)) = refusal.answer {
            let packet = Packet::Error { code, text: text.as_bytes() }.to_bytes();
            let socket = line::connect(knock.server, knock.client, self.settings.ports.as_ref(), self.next_id);
            // A client that is not told asks again.
            let _ = socket.and_then(|socket| socket.send(&packet));
        }
        self.tell(Event::Refused {
            client: knock.client,
            server: knock.server,
            name: asked.map(|asked| asked.name.to_string()),
            reason: refusal.reason,
            answered,
        });
    }

    fn tell(&mut self, event: Event) {
        event.count(&mut self.shared.counters());
        (self.events)(event);
    }

    fn trouble(&mut self, doing: &str, error: &io::Error) {
        self.tell(Event::Trouble { what: format!("cannot {doing}: {error}") });
        thread::sleep(AFTER_TROUBLE);
    }
}

fn no_socket(knock: &Knock, error: &io::Error) -> Refusal {
    let reason = format!("cannot open a socket from {} to {}: {error}", knock.server, knock.client);
    let refusal = Refusal::with(ErrorCode::OTHER, "the server cannot serve this now", reason);
    Refusal { exhausted: is_exhaustion(error), ..refusal }
}
