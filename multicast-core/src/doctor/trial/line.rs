//! Questions and answers over one socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{BUFFER, NoSamples, any};
use crate::net::{ControlSocket, NetError, wait};
use crate::types::ClientId;
use crate::wire::{Echo, MIN_PROBE_LEN, Packet, Probe, SampleAnswer, SampleWish, Samples};

/// A question that was not answered for so long is asked again.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long a server may be busy.
const BUSY_PATIENCE: Duration = Duration::from_secs(12);
/// How long a server that answered before may be silent.
const SILENCE: Duration = Duration::from_secs(3);

/// A socket and the key that the server gave its address.
pub(super) struct Line {
    pub(super) socket: ControlSocket,
    key: u64,
}

impl Line {
    pub(super) fn open(server: SocketAddr) -> Result<Self, NetError> {
        Ok(Self { socket: ControlSocket::bind(any(server), BUFFER)?, key: 0 })
    }

    /// The answer to `probe`, if it comes within `patience`.
    pub(super) fn ask(&self, server: SocketAddr, probe: &Probe, patience: Duration) -> Option<Echo> {
        let mut question = Vec::with_capacity(probe.len.into());
        probe.encode(&mut question);
        // One that the interface cannot send does not arrive.
        self.socket.send_to(&question, server).ok()?;
        let end = Instant::now() + patience;
        let mut buffer = [0; 2048];
        loop {
            while let Ok(Some((len, from))) = self.socket.receive(&mut buffer) {
                match Packet::decode(&buffer[..len]) {
                    Ok(Packet::Echo(echo))
                        if (echo.client, echo.number) == (probe.client, probe.number) && from == server =>
                    {
                        return Some(echo);
                    }
                    _ => {}
                }
            }
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let _ = wait(&[self.socket.handle()], Some(left));
        }
    }

    /// Has samples sent; `number` is that of the last question.
    pub(super) fn order(
        &mut self,
        server: SocketAddr,
        client: ClientId,
        number: &mut u32,
        wish: SampleWish,
    ) -> Result<Samples, NoSamples> {
        let begun = Instant::now();
        let mut heard = begun;
        *number = number.wrapping_add(1);
        let len = MIN_PROBE_LEN as u16;
        loop {
            let probe = Probe { client, number: *number, samples: Some(wish), key: self.key, len, echo_len: len };
            let Some(echo) = self.ask(server, &probe, INTERVAL) else {
                if heard.elapsed() > SILENCE {
                    return Err(NoSamples::Silent);
                }
                continue;
            };
            heard = Instant::now();
            match echo.answer {
                SampleAnswer::Coming(samples) => return Ok(samples),
                SampleAnswer::Off | SampleAnswer::None => return Err(NoSamples::Off),
                SampleAnswer::NoPlace => return Err(NoSamples::NoPlace),
                SampleAnswer::Key if self.key != echo.key => self.key = echo.key,
                SampleAnswer::Key => return Err(NoSamples::Silent),
                SampleAnswer::Busy { retry_ms } => {
                    let retry = Duration::from_millis(retry_ms.into());
                    if begun.elapsed() + retry > BUSY_PATIENCE {
                        return Err(NoSamples::Busy);
                    }
                    std::thread::sleep(retry);
                    (*number, heard) = (number.wrapping_add(1), Instant::now());
                }
            }
        }
    }
}
