//! Ways to a Kafka broker: one that can be cut at a chosen request, and one with the faults of a network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// The request that ends a transaction (<https://kafka.apache.org/protocol#protocol_api_keys>).
pub const END_TRANSACTION: i16 = 26;

/// Where the way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the broker sees the request.
    Request,
    /// After it has the request, before its answer is seen.
    Answer,
}

/// Passes everything on, until a cut; then nothing passes until it is mended.
pub struct Proxy {
    pub port: u16,
    way: Arc<Mutex<Way>>,
}

#[derive(Default)]
struct Way {
    planned: Option<(i16, Cut)>,
    down: bool,
    open: Vec<TcpStream>,
}

impl Proxy {
    pub fn start(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::<Mutex<Way>>::default();
        let shared = Arc::clone(&way);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connect(client, broker, &shared);
            }
        });
        Self { port, way }
    }

    /// Cuts the way at the next request of this kind.
    pub fn cut_at(&self, request: i16, cut: Cut) {
        self.way.lock().unwrap().planned = Some((request, cut));
    }

    pub fn is_down(&self) -> bool {
        self.way.lock().unwrap().down
    }

    pub fn mend(&self) {
        self.way.lock().unwrap().down = false;
    }
}

impl Way {
    /// Lets nobody come any more.
    fn close(&mut self) {
        self.planned = None;
        self.down = true;
    }

    fn cut(&mut self) {
        self.close();
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all but the connection to the broker that has something to do.
    fn cut_but(&mut self, busy: &TcpStream) {
        let busy = busy.local_addr().ok();
        self.open.retain(|stream| stream.local_addr().ok() != busy);
        self.cut();
    }
}

fn connect(client: TcpStream, broker: u16, way: &Arc<Mutex<Way>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) else { return };
    {
        // At once, or a cut between would leave this way open.
        let mut way = way.lock().unwrap();
        if way.down {
            return;
        }
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            way.open.push(stream.try_clone().unwrap());
        }
    }
    let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || drop(pass(from_server, to_client)));
    let way = Arc::clone(way);
    std::thread::spawn(move || drop(requests(client, server, &way)));
}

fn pass(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Both)
}

/// Passes whole requests: four bytes of size, then two that say which it is.
fn requests(mut client: TcpStream, mut server: TcpStream, way: &Mutex<Way>) -> std::io::Result<()> {
    loop {
        let mut size = [0; 4];
        client.read_exact(&mut size)?;
        let mut request = vec![0; u32::from_be_bytes(size) as usize];
        client.read_exact(&mut request)?;
        let kind = i16::from_be_bytes([request[0], request[1]]);
        let cut = way.lock().unwrap().planned.filter(|(planned, _)| *planned == kind).map(|(_, cut)| cut);
        match cut {
            Some(Cut::Request) => way.lock().unwrap().cut(),
            Some(Cut::Answer) => {
                // First nobody comes and nobody hears it, then it is asked. The broker works off what it has received, though who
                // asked is gone.
                way.lock().unwrap().close();
                client.shutdown(Shutdown::Write)?;
                server.write_all(&[&size[..], &request].concat())?;
                server.shutdown(Shutdown::Write)?;
                way.lock().unwrap().cut_but(&server);
            }
            None => server.write_all(&[&size[..], &request].concat())?,
        }
    }
}

/// A network between clients and one port: it may be slow, silent, or break its connections.
pub struct Network {
    pub port: u16,
    weather: Arc<Weather>,
}

#[derive(Default)]
struct Weather {
    delay_ms: AtomicU64,
    /// Nothing passes; what is under way waits.
    silent: AtomicBool,
    /// Nobody is let in.
    down: AtomicBool,
    /// How often all connections were reset: those of before end without a word.
    resets: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Network {
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::<Weather>::default();
        let shared = Arc::clone(&weather);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.down.load(SeqCst) {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                    join(&client, &server, &shared);
                }
            }
        });
        Self { port, weather }
    }

    /// How long each byte takes, each way.
    pub fn set_delay(&self, delay: Duration) {
        self.weather.delay_ms.store(delay.as_millis() as u64, SeqCst);
    }

    pub fn set_silent(&self, silent: bool) {
        self.weather.silent.store(silent, SeqCst);
    }

    /// Lets nobody in any more, or again; connections that are open stay so.
    pub fn set_down(&self, down: bool) {
        self.weather.down.store(down, SeqCst);
    }

    /// Ends all connections in order (FIN).
    pub fn cut(&self) {
        for stream in self.weather.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends all connections as a host does that has forgotten them (RST).
    pub fn reset(&self) {
        self.weather.resets.fetch_add(1, SeqCst);
        for stream in self.weather.open.lock().unwrap().drain(..) {
            // Whoever reads it lets it go; the last one closes it, which sends a reset.
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

fn join(client: &TcpStream, server: &TcpStream, weather: &Arc<Weather>) {
    for stream in [client, server] {
        stream.set_nodelay(true).unwrap();
        weather.open.lock().unwrap().push(stream.try_clone().unwrap());
    }
    for (from, to) in [(client, server), (server, client)] {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (sender, sent) = mpsc::channel();
        let delay = Arc::clone(weather);
        std::thread::spawn(move || take(from, &sender, &delay));
        let weather = Arc::clone(weather);
        std::thread::spawn(move || deliver(&sent, to, &weather));
    }
}

/// Takes what comes and notes when it is due.
fn take(mut from: TcpStream, sender: &mpsc::Sender<(Instant, Vec<u8>)>, weather: &Weather) {
    let mut piece = [0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let due = Instant::now() + Duration::from_millis(weather.delay_ms.load(SeqCst));
        if sender.send((due, piece[..read].to_vec())).is_err() {
            return;
        }
    }
}

fn deliver(sent: &mpsc::Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, weather: &Weather) {
    let resets = weather.resets.load(SeqCst);
    for (due, bytes) in sent {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        while weather.silent.load(SeqCst) && weather.resets.load(SeqCst) == resets {
            std::thread::sleep(Duration::from_millis(5));
        }
        if weather.resets.load(SeqCst) != resets || to.write_all(&bytes).is_err() {
            break;
        }
    }
    if weather.resets.load(SeqCst) == resets {
        let _ = to.shutdown(Shutdown::Both);
    }
}
