//! A line to the server that breaks when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Passes bytes to the server and back, on threads that end with the process.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    /// Clients that were let in.
    clients: AtomicU64,
    /// Bytes that went to the server.
    sent: AtomicU64,
    /// How many more may go before the line breaks; below zero: it does not break.
    left: AtomicI64,
    /// Answers of the server get lost.
    swallows: AtomicBool,
    /// Nobody is let in any more.
    refuses: AtomicBool,
    /// What becomes of the COMMIT of the connection that says RENAME TO.
    at_commit: Mutex<Option<AtCommit>>,
    open: Mutex<Vec<TcpStream>>,
}

/// What becomes of a COMMIT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtCommit {
    /// The line breaks before it has passed.
    Lost,
    /// It passes, and no answer comes back from then on.
    Unheard,
}

/// The whole message.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

impl Proxy {
    /// Starts one that does not break yet.
    pub(crate) fn to(server_port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line {
            left: AtomicI64::new(i64::MIN / 2),
            ..Line::default()
        });
        let shared = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                // While the server is down, a client is let in and turned away.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else {
                    continue;
                };
                shared.connect(&client, &server);
            }
        });
        Proxy { port, line }
    }

    /// How many were let in so far.
    pub(crate) fn clients(&self) -> u64 {
        self.line.clients.load(Ordering::SeqCst)
    }

    /// Bytes that went to the server so far.
    pub(crate) fn sent(&self) -> u64 {
        self.line.sent.load(Ordering::SeqCst)
    }

    /// Breaks every open connection, once, after so many more bytes to the server.
    pub(crate) fn cut_after(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap();
        self.line.left.store(bytes, Ordering::SeqCst);
    }

    /// Takes back [`Proxy::cut_after`].
    pub(crate) fn cut_never(&self) {
        self.line.left.store(i64::MIN / 2, Ordering::SeqCst);
    }

    /// From now on nothing comes back from the server, until [`Proxy::cut`].
    pub(crate) fn swallow_answers(&self) {
        self.line.swallows.store(true, Ordering::SeqCst);
    }

    /// Waits for an exchange of databases.
    pub(crate) fn at_commit_of_rename(&self, what: AtCommit) {
        *self.line.at_commit.lock().unwrap() = Some(what);
    }

    /// Breaks every open connection and lets nobody in any more.
    pub(crate) fn refuse(&self) {
        self.line.refuses.store(true, Ordering::SeqCst);
        self.line.cut();
    }

    /// Breaks every open connection.
    pub(crate) fn cut(&self) {
        self.line.cut();
    }
}

impl Line {
    fn connect(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let mut open = self.open.lock().unwrap();
        for stream in [client, server] {
            stream.set_nodelay(true).unwrap();
            open.push(stream.try_clone().unwrap());
        }
        drop(open);
        self.clients.fetch_add(1, Ordering::SeqCst);
        for (from, to, counts) in [(client, server, true), (server, client, false)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let line = Arc::clone(self);
            std::thread::spawn(move || line.pass(from, to, counts));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, counts: bool) {
        let mut buffer = [0; 16 << 10];
        let mut renames = false;
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            renames |= counts && buffer[..read].windows(9).any(|at| at == b"RENAME TO");
            let lost = renames && buffer[..read].ends_with(COMMIT);
            match lost
                .then(|| self.at_commit.lock().unwrap().take())
                .flatten()
            {
                Some(AtCommit::Lost) => return self.cut(),
                Some(AtCommit::Unheard) => self.swallows.store(true, Ordering::SeqCst),
                None => {}
            }
            if !counts && self.swallows.load(Ordering::SeqCst) {
                continue;
            }
            let passed = if counts { self.allowed(read) } else { read };
            if to.write_all(&buffer[..passed]).is_err() {
                break;
            }
            if passed < read {
                self.cut();
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    /// How many of these bytes may pass.
    fn allowed(&self, bytes: usize) -> usize {
        self.sent.fetch_add(bytes as u64, Ordering::SeqCst);
        let left = self.left.fetch_sub(bytes as i64, Ordering::SeqCst);
        if left < 0 {
            return bytes;
        }
        bytes.min(usize::try_from(left).unwrap())
    }

    fn cut(&self) {
        self.left.store(i64::MIN / 2, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.swallows.store(false, Ordering::SeqCst);
    }
}
