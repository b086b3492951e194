use std::time::Duration;

/// The first pause after trouble; each further one is twice as long,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How fast it goes.
pub(crate) struct Pace {
    /// The next pause.
    pause: Duration,
    /// Records in one delivery.
    pub batch: usize,
}

impl Pace {
    /// At full speed.
    pub fn new(most: usize) -> Self {
        Self { pause: FIRST_PAUSE, batch: most }
    }

    /// The trouble is over.
    pub fn recovered(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// A pause, and the next one is longer.
    pub fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// It went well.
    pub fn took(&mut self, most: usize) {
        self.batch = (self.batch * 2).min(most);
    }
}
