//! What the parts of a name of the index come to against a name that is looked for.

use super::bounds::Rest;

/// What is known of a part of the index against all parts that are looked for.
#[derive(Clone, Copy, Default)]
pub struct Known {
    /// The most it can add, where the similarity is needed that a scale has; less than nothing if it only meets
    /// what is less alike.
    pub gain: f64,
    /// The most weight a match with it has: where less is needed it adds that much more.
    pub mass: f64,
    /// The least weight of such a match: where more is needed it adds at least that much less.
    pub least: f64,
    /// What it weighs if it is left out.
    pub weight: f64,
    /// What it weighs if it contradicts.
    pub against: f64,
    /// Those that it may be, a bit each.
    pub met: u32,
    /// Those of them that are words, as it is.
    pub words: u32,
    /// Those of them that have not been measured.
    pub open: u32,
}

/// What parts of a name come to, those that add something or those that do not.
#[derive(Clone, Copy)]
pub struct Side {
    pub rest: Rest,
    pub met: u32,
    pub words: u32,
}

impl Side {
    fn add(&mut self, known: &Known) {
        self.rest.weight += known.weight;
        self.rest.against += known.against;
        self.met |= known.met;
        self.words |= known.words;
    }
}

/// What the parts of a name come to.
pub struct Sum {
    pub gained: f64,
    /// The least that is lost by taking one of those that add nothing.
    pub lost: f64,
    /// Those that add something.
    pub plus: Side,
    /// Those that meet something, but not enough.
    pub minus: Side,
    /// Those that meet nothing.
    pub others: Rest,
    pub open: u32,
}

impl Sum {
    const NONE: Side = Side { rest: Rest::NONE, met: 0, words: 0 };

    /// Of no parts.
    pub fn new() -> Self {
        Self {
            gained: 0.0,
            lost: f64::NEG_INFINITY,
            plus: Self::NONE,
            minus: Self::NONE,
            others: Rest::NONE,
            open: 0,
        }
    }

    /// One part more, where so much less is needed, or more if that is below nothing.
    pub fn add(&mut self, known: &Known, less: f64) {
        if known.met == 0 {
            self.others.weight += known.weight;
            self.others.against += known.against;
            return;
        }
        self.open |= known.open;
        let gain = known.gain + less * if less < 0.0 { known.least } else { known.mass };
        if gain > 0.0 {
            self.gained += gain;
            self.plus.add(known);
        } else {
            self.lost = self.lost.max(gain);
            self.minus.add(known);
        }
    }
}
