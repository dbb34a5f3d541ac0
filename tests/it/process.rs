//! The real program as a process.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use amadare::clock::Monotonic;

/// How long anything that a test waits for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command to its end.
pub(crate) fn amadare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_amadare")).args(arguments).env("LC_ALL", "C").output().unwrap()
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Waits until something is there.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Monotonic::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A daemon that is a process of its own; killed when it goes out of scope.
pub(crate) struct Daemon {
    pub(crate) folder: PathBuf,
    pub(crate) listen: SocketAddr,
    line: String,
    config: PathBuf,
    log: Option<PathBuf>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
    child: Option<Child>,
    pub(crate) client: reqwest::Client,
}

impl Daemon {
    /// Prepares a daemon with these scenarios and this stand-in for LINE.
    pub(crate) fn new(folder: &Path, scenarios: &[(&str, &str)], line: &str) -> Daemon {
        let files = folder.join("scenarios");
        std::fs::create_dir_all(&files).unwrap();
        for (name, text) in scenarios {
            std::fs::write(files.join(name), text).unwrap();
        }
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Daemon {
            folder: folder.to_owned(),
            listen: free_address(),
            line: line.to_owned(),
            config: "/dev/null".into(),
            log: None,
            environment: Vec::new(),
            shell: None,
            child: None,
            client,
        }
    }

    /// Writes it a configuration.
    pub(crate) fn config(&mut self, text: &str) {
        self.config = self.folder.join("amadare.yaml");
        std::fs::write(&self.config, text).unwrap();
    }

    /// Sets a variable of its environment.
    pub(crate) fn environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has a shell do this before it becomes the daemon.
    pub(crate) fn shell(&mut self, before: &str) {
        self.shell = Some(before.to_owned());
    }

    /// Keeps what it says in a file.
    pub(crate) fn log_to(&mut self, path: &Path) {
        self.log = Some(path.to_owned());
    }

    pub(crate) fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_amadare");
        let mut command = match &self.shell {
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!(r#"{before} exec "$@""#), "sh", program]);
                shell
            }
            None => Command::new(program),
        };
        command
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .arg("--data")
            .arg(self.folder.join("data"))
            .arg("--scenarios")
            .arg(self.folder.join("scenarios"))
            .args(["--listen", &self.listen.to_string(), "--line-endpoint", &self.line])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("LINE_CHANNEL_ACCESS_TOKEN", "token")
            .env("LINE_CHANNEL_SECRET", "sandbox-channel-secret")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) async fn start(&mut self) {
        if let Err((status, errors)) = self.try_start().await {
            panic!("the daemon ended with {status}: {errors}");
        }
    }

    /// Waits until it lives.
    ///
    /// # Errors
    /// How it ended instead, and what it said.
    pub(crate) async fn try_start(&mut self) -> Result<(), (ExitStatus, String)> {
        self.child = Some(self.command().spawn().unwrap());
        let url = self.url("/healthz");
        let child = self.child.as_mut().unwrap();
        let client = &self.client;
        until("the daemon", async || {
            if let Some(status) = child.try_wait().unwrap() {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                return Some(Err((status, errors)));
            }
            client.get(&url).send().await.is_ok_and(|r| r.status().is_success()).then_some(Ok(()))
        })
        .await?;
        // somebody must read what it says, or it stands still once the pipe is full
        let mut errors = child.stderr.take().unwrap();
        let log = self.log.clone();
        std::thread::spawn(move || match log {
            Some(path) => std::io::copy(&mut errors, &mut std::fs::File::create(path).unwrap()),
            None => std::io::copy(&mut errors, &mut std::io::sink()),
        });
        Ok(())
    }

    /// SIGKILL, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.take().unwrap().wait().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    pub(crate) async fn post(&self, path: &str, body: String) -> reqwest::Result<serde_json::Value> {
        let response = self.client.post(self.url(path)).body(body).send().await?.error_for_status()?;
        Ok(serde_json::from_str(&response.text().await?).unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> serde_json::Value {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
