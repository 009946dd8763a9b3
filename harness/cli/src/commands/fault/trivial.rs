//! The trivial node on which faults are tried out: it does a little of everything that faults can spoil, and
//! promises nothing. It appends records to a log and syncs it, replaces a file by renaming, reads back, says
//! what it did, and answers connections.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use ordeal_core::{BoxFuture, Client, ClusterSpec, Launch, NodeSpec, Target, TargetError};
use ordeal_runner::sandbox::THIS_PROGRAM;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::exit::{Exit, eprint};

/// The hidden command that runs the node.
pub(crate) const COMMAND: &str = "__trivial-node";
/// What the node says each time it has synced so many records; `crash-at-line` waits for it.
pub(crate) const LINE: &str = "replaced the state";
const PORT: u16 = 7000;
const PAUSE: Duration = Duration::from_millis(3);
const LOG_BYTES_MAX: u64 = 256 * 1024;
/// Every so many records the state is replaced.
const REPLACE_EVERY: u64 = 4;

/// The target that starts such nodes.
pub(crate) struct Trivial;

impl Target for Trivial {
    fn name(&self) -> &'static str {
        "trivial"
    }

    fn workloads(&self) -> &[&'static str] {
        &[]
    }

    fn launch(&self, node: &NodeSpec, _: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let args = vec![COMMAND.to_owned(), node.ip.to_string(), node.data_dir.display().to_string()];
        Ok(Some(Launch { program: THIS_PROGRAM.into(), args, env: Vec::new() }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        Box::pin(async {
            // The kernel answers connections for a program that hangs: ask the program.
            let ask = async {
                let mut stream = tokio::net::TcpStream::connect((node.ip, PORT)).await?;
                stream.write_all(&[7]).await?;
                stream.read_u8().await
            };
            ask.await.is_ok_and(|byte| byte == 7)
        })
    }

    fn client(&self, _: &str, _: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        Err(TargetError::Unsupported("the trivial target serves no workload".to_owned()))
    }
}

/// The node's life.
pub(crate) fn main(args: &crate::args::TrivialArgs) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind((args.ip, PORT))?;
    std::thread::spawn(move || listener.incoming().flatten().for_each(echo));
    for number in 1.. {
        match record(&args.data_dir, number) {
            // Out of descriptors or memory: it can wait.
            Err(e) if matches!(e.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENOMEM)) => {}
            done => done?,
        }
        if number % REPLACE_EVERY == 0 {
            eprint(LINE);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Exit::Valid)
}

fn record(dir: &Path, number: u64) -> std::io::Result<()> {
    let path = dir.join("log");
    let mut log = OpenOptions::new().create(true).append(true).open(&path)?;
    log.write_all(format!("{number:063}\n").as_bytes())?;
    log.sync_data()?;
    if log.metadata()?.len() > LOG_BYTES_MAX {
        log.set_len(0)?;
    }
    let mut first = [0; 64];
    let _ = File::open(&path)?.read(&mut first)?;
    if number.is_multiple_of(REPLACE_EVERY) {
        let new = dir.join("state.new");
        let mut state = File::create(&new)?;
        state.write_all(&first)?;
        state.sync_all()?;
        std::fs::rename(new, dir.join("state"))?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
}
