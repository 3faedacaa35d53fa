//! Lines to the server that carry so many bytes a second, each of them late.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Each way.
    pub(crate) bytes_per_second: u64,
    /// Whether all connections share that, or each has as much.
    pub(crate) is_shared: bool,
}

/// 100 Mbit/s, and far away.
pub(crate) const FAR: Line = Line {
    round_trip: Duration::from_millis(50),
    bytes_per_second: 12_500_000,
    is_shared: true,
};

/// As if each connection had a core of the server to itself, each about a tenth as fast as one of this machine: a core forms
/// 130 MB of rows a second.
pub(crate) const SLOW_CORES: Line = Line {
    round_trip: Duration::ZERO,
    bytes_per_second: 12_500_000,
    is_shared: false,
};

/// Pieces on their way in one direction of a connection: more than a round trip's bytes.
const PIECES: usize = 64;

const PIECE_BYTES: usize = 16 << 10;

/// One direction of the line: when the next byte may leave.
type Free = Mutex<Instant>;

/// Starts a line to the server, on threads that end with the process; the port of its near end.
pub(crate) fn start(line: Line, server: (String, u16)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let both_free = || [(); 2].map(|()| Arc::new(Mutex::new(Instant::now())));
    let shared = both_free();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else {
                continue;
            };
            let ways = [(&client, &server), (&server, &client)];
            let both_free = match line.is_shared {
                true => shared.clone(),
                false => both_free(),
            };
            for ((from, to), free) in ways.into_iter().zip(both_free) {
                to.set_nodelay(true).unwrap();
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let (sender, receiver) = sync_channel(PIECES);
                std::thread::spawn(move || take(line, from, &free, &sender));
                std::thread::spawn(move || deliver(to, &receiver));
            }
        }
    });
    port
}

/// Gives each piece the time at which it arrives.
fn take(line: Line, mut from: TcpStream, free: &Free, pieces: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = [0; PIECE_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let sent = {
            let mut free = free.lock().unwrap();
            let nanoseconds = read as u64 * 1_000_000_000 / line.bytes_per_second;
            *free = Instant::now().max(*free) + Duration::from_nanos(nanoseconds);
            *free
        };
        let piece = (sent + line.round_trip / 2, buffer[..read].to_vec());
        if pieces.send(piece).is_err() {
            break;
        }
    }
}

fn deliver(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    for (arrives, piece) in pieces {
        std::thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
