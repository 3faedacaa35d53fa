//! A slow line to the server: all connections share its bandwidth, and every byte is late.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// There and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(50);

/// 100 Mbit/s, each way.
pub(crate) const BYTES_PER_SECOND: u64 = 12_500_000;

/// Pieces on their way in one direction of a connection: more than a round trip's bytes.
const PIECES: usize = 64;

const PIECE_BYTES: usize = 16 << 10;

/// One direction of the line: when the next byte may leave.
type Free = Mutex<Instant>;

/// Starts a line to the server, on threads that end with the process; the port of its near end.
pub(crate) fn start(server: (String, u16)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = [(); 2].map(|()| Arc::new(Mutex::new(Instant::now())));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else {
                continue;
            };
            let ways = [(&client, &server), (&server, &client)];
            for ((from, to), free) in ways.into_iter().zip(&lines) {
                to.set_nodelay(true).unwrap();
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let free = Arc::clone(free);
                let (sender, receiver) = sync_channel(PIECES);
                std::thread::spawn(move || take(from, &free, &sender));
                std::thread::spawn(move || deliver(to, &receiver));
            }
        }
    });
    port
}

/// Gives each piece the time at which it arrives.
fn take(mut from: TcpStream, free: &Free, pieces: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buffer = [0; PIECE_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let sent = {
            let mut free = free.lock().unwrap();
            let nanoseconds = read as u64 * 1_000_000_000 / BYTES_PER_SECOND;
            *free = Instant::now().max(*free) + Duration::from_nanos(nanoseconds);
            *free
        };
        let piece = (sent + ROUND_TRIP / 2, buffer[..read].to_vec());
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
