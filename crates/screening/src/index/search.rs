//! From a subject to those of a list who may be meant.

use super::{
    Index,
    births::{day_key, full_key, slips, year_key},
    bounds::Plan,
    build::number_hash,
    keyed::Keyed,
    layout::{View, at, flag, numbered_schema, unpack_birth, unpack_name},
    marks::Marks,
    records::Parts,
    scale::Scale,
    segment::Segment,
    words::Sought,
};
use crate::{
    dates::{self, Birth, DateMatch},
    entity::{Entity, Schema},
    names::{Name, Subject, compare, stand_together},
    policy::Policy,
    profile::{Alias, Profile, subject},
    score::{QUALIFIERS_MAX_NATS, Verdict, nats, score, similarity_for},
};
use rustc_hash::FxHashMap;

/// Names that are weighed together.
const TOGETHER: usize = 128;

/// How a list is searched.
#[derive(Clone, Copy, Debug)]
pub struct Search<'p> {
    /// What counts how much.
    pub policy: &'p Policy,
    /// The least score that is shown.
    pub cutoff: f64,
    /// How many are shown.
    pub limit: usize,
}

/// Somebody who may be meant.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The number of the entity in the index.
    pub entity: u32,
    /// The entity.
    pub listed: Entity,
    /// Why, and how sure.
    pub verdict: Verdict,
}

impl Index {
    /// Everybody whose score against `sought` is at least the cutoff, the best first. `load` reads an entity by
    /// its number ([`Index::place`]); `None` if it is not wanted.
    pub fn search<E>(
        &self,
        sought: &Entity,
        search: Search<'_>,
        mut load: impl FnMut(u32) -> Result<Option<Entity>, E>,
    ) -> Result<Vec<Found>, E> {
        let mut found: Vec<Found> = Vec::new();
        for (entity, most) in self.candidates(sought, search) {
            // They come in order of what they can reach.
            let full = search.limit.checked_sub(1).and_then(|last| found.get(last));
            if search.limit == 0 || full.is_some_and(|last| last.verdict.score > most) {
                break;
            }
            let Some(listed) = load(entity)? else { continue };
            let verdict = score(
                &Profile::beside(sought, listed.schema),
                &Profile::beside(&listed, sought.schema),
                search.policy,
            );
            if verdict.score < search.cutoff || !verdict.schemas_fit {
                continue;
            }
            let place = found.partition_point(|other| {
                (other.verdict.score, entity) > (verdict.score, other.entity)
            });
            found.insert(place, Found { entity, listed, verdict });
            found.truncate(search.limit);
        }
        Ok(found)
    }

    /// Those who may reach the cutoff, with the most that they can reach, in that order.
    pub fn candidates(&self, sought: &Entity, search: Search<'_>) -> Vec<(u32, f64)> {
        let mut readings: Vec<(Subject, Profile)> = Vec::new();
        for counterpart in [Schema::Person, Schema::Company, Schema::Vessel] {
            let reading = subject(sought.schema, counterpart);
            if readings.iter().all(|(known, _)| *known != reading) {
                readings.push((reading, Profile::beside(sought, counterpart)));
            }
        }
        let base = self.base.candidates(&readings, search).into_iter();
        let mut all: Vec<(u32, f64)> = match &self.update {
            None => base.collect(),
            Some(update) => {
                let new = update.new.candidates(&readings, search).into_iter();
                let new = new.map(|(entity, most)| (update.number_of_new(entity), most));
                let kept = base.map(|(entity, most)| (update.number_of_kept(entity), most));
                kept.chain(new).filter_map(|(number, most)| Some((number?, most))).collect()
            }
        };
        all.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }
}

impl Segment {
    /// Those who may reach the cutoff, with the most that they can reach.
    fn candidates(
        &self,
        readings: &[(Subject, Profile)],
        search: Search<'_>,
    ) -> FxHashMap<u32, f64> {
        let mut all = FxHashMap::default();
        let mut marks = self.marks();
        for (reading, profile) in readings {
            let mut seeker = Seeker::new(self.view(), profile, *reading, search, marks);
            seeker.by_numbers(&mut all);
            seeker.by_names(&mut all);
            marks = seeker.marks;
        }
        self.keep(marks);
        all
    }
}

/// What is needed to look for one reading of a subject.
struct Seeker<'s> {
    view: View<'s>,
    profile: &'s Profile,
    subject: Subject,
    policy: &'s Policy,
    /// Whether no score is too low.
    everybody: bool,
    /// Nats that the least score needs.
    needed: f64,
    /// Schemas that fit and are read in the same way.
    fitting: [bool; 9],
    /// What a product of factors can make of a similarity.
    factor: f64,
    parts: Parts,
    seen: Vec<u64>,
    marks: Marks,
}

impl<'s> Seeker<'s> {
    fn new(
        view: View<'s>,
        profile: &'s Profile,
        reading: Subject,
        search: Search<'s>,
        marks: Marks,
    ) -> Self {
        // Scores are rounded to four digits.
        let least = (search.cutoff - 0.000_06).clamp(1e-6, 1.0 - 1e-6).powi(2);
        let mut fitting = [false; 9];
        for (number, fits) in (0u8..).zip(&mut fitting) {
            let schema = numbered_schema(number);
            *fits = profile.schema.fits(schema) && subject(profile.schema, schema) == reading;
        }
        let weights = &search.policy.names;
        let factor = weights.numbers.max(1.0)
            * weights.generations.max(1.0)
            * weights.crossed.max(1.0)
            * weights.one_word.max(1.0);
        Self {
            view,
            profile,
            subject: reading,
            policy: search.policy,
            everybody: least <= 1e-6,
            needed: (least / (1.0 - least)).ln(),
            fitting,
            factor,
            parts: Parts::default(),
            seen: vec![0; view.name_tags.len().div_ceil(64)],
            marks,
        }
    }

    /// Everybody with the same number.
    fn by_numbers(&self, all: &mut FxHashMap<u32, f64>) {
        for number in &self.profile.identifiers {
            for entity in self.view.number_hashes.get(number_hash(number.kind, &number.value)) {
                if self.fits(entity.get()) {
                    all.insert(entity.get(), 1.0);
                }
            }
        }
    }

    fn fits(&self, entity: u32) -> bool {
        let number = self.view.schemas.get(entity as usize).copied().unwrap_or(8);
        self.fitting.get(usize::from(number)).copied().unwrap_or(false)
    }

    fn by_names(&mut self, all: &mut FxHashMap<u32, f64>) {
        let profile = self.profile;
        if self.everybody {
            self.add_everybody(all);
            return;
        }
        let usual = self.usual_gain();
        let born = self.born_alike();
        for alias in &profile.aliases {
            self.seen.fill(0);
            self.by_name(alias, usual, &born, all);
        }
    }

    fn add_everybody(&self, all: &mut FxHashMap<u32, f64>) {
        let entities = 0..u32::try_from(self.view.schemas.len()).unwrap_or(u32::MAX);
        all.extend(entities.filter(|entity| self.fits(*entity)).map(|entity| (entity, 1.0)));
    }

    fn by_name(
        &mut self,
        alias: &Alias,
        usual: f64,
        born: &[(u32, f64)],
        all: &mut FxHashMap<u32, f64>,
    ) {
        let raw = self.least_raw(usual);
        if raw <= 0.0 {
            self.add_everybody(all);
            return;
        }
        let weights = &self.policy.names;
        let plan = Plan::new(&alias.name, raw, self.policy);
        let view = self.view;
        let parts = alias.name.parts.iter();
        let sought: Vec<Sought<'_>> = parts
            .map(|part| Sought::new(&view, &mut self.parts, part, self.subject, &plan, weights))
            .collect();
        let marks = std::mem::take(&mut self.marks);
        let mut scale = Scale::new(view, weights, self.subject, sought, raw, marks);
        let mut keyed =
            Keyed { view, subject: self.subject, parts: &mut self.parts }.names(&alias.name);
        keyed.retain(|name| self.first_time(*name));
        let mut by_parts = keyed.clone();
        scale.dismiss(&mut by_parts);
        let mut by_parts = by_parts.into_iter().peekable();
        for name in keyed {
            // A key is in common with many that have nothing else: consonants.
            let likely = by_parts.next_if_eq(&name).is_some();
            self.compare(alias, name, likely, all);
        }
        for at in 0..scale.sought().len() {
            for place in 0..scale.sought()[at].strong.len() {
                let (ours, part) =
                    (scale.sought()[at].part().kind, scale.sought()[at].strong[place]);
                if plan.leaves_out(ours) && plan.leaves_out(view.record(part).kind) {
                    continue;
                }
                if let Some(names) = scale.beside(at, part, &mut self.parts) {
                    self.weigh(&mut scale, names.into_iter(), alias, all);
                } else {
                    let names = view.postings.get(part as usize).iter();
                    self.weigh(&mut scale, names.map(|name| name.get()), alias, all);
                }
            }
        }
        // Those born on the same day need not be so near by name: words that were not looked for may count.
        let names = born.iter().flat_map(|(entity, gain)| {
            let raw = self.least_raw(*gain);
            let names = view.names_of(*entity);
            names.map(move |name| (name, raw))
        });
        let names: Vec<(u32, f64)> = names.collect();
        for some in names.chunks(TOGETHER) {
            let mut some = some.to_vec();
            scale.retain(&mut some, |one| *one);
            for (name, raw) in some {
                if let Some(raw) = scale.nearness(name, raw, &mut self.parts) {
                    self.weighed(alias, name, raw, all);
                }
            }
        }
        self.marks = scale.into_marks();
    }

    /// Compares those of some names that were not looked at yet and whose parts allow it.
    fn weigh(
        &mut self,
        scale: &mut Scale<'s, '_>,
        mut names: impl Iterator<Item = u32>,
        alias: &Alias,
        all: &mut FxHashMap<u32, f64>,
    ) {
        loop {
            let mut some: Vec<u32> = names.by_ref().take(TOGETHER).collect();
            if some.is_empty() {
                return;
            }
            some.retain(|name| self.first_time(*name));
            scale.dismiss(&mut some);
            let raw = |name: u32| Some((name, scale.raw().max(self.raw_of(name)?)));
            let mut some: Vec<(u32, f64)> = some.into_iter().filter_map(raw).collect();
            // Where qualifiers take something, more is needed of a name.
            scale.retain(&mut some, |one| *one);
            for (name, raw) in some {
                if let Some(raw) = scale.nearness(name, raw, &mut self.parts) {
                    self.weighed(alias, name, raw, all);
                }
            }
        }
    }

    /// The similarity that is needed of a name for what qualifiers add to its entity, or take; `None` if that is
    /// not meant.
    fn raw_of(&self, name: u32) -> Option<f64> {
        let entity = at(self.view.name_entities, name);
        self.fits(entity).then(|| self.least_raw(self.gain(entity)))
    }

    /// Whether a name can be meant at all and was not looked at yet.
    fn first_time(&mut self, name: u32) -> bool {
        let Some(bits) = self.seen.get_mut(name as usize / 64) else { return false };
        let bit = 1 << (name % 64);
        let first = *bits & bit == 0;
        *bits |= bit;
        first
    }

    /// The similarity of names that is needed where qualifiers add this much.
    fn least_raw(&self, gain: f64) -> f64 {
        let needed = self.needed - gain;
        if nats(0.0) >= needed {
            return 0.0;
        }
        (similarity_for(needed) - 1e-9).max(0.0) / self.factor
    }

    /// The most that qualifiers can add, but for a birth that is nearly the same.
    fn usual_gain(&self) -> f64 {
        let (q, profile) = (&self.policy.qualifiers, self.profile);
        let if_some = |some: bool, nats: f64| if some { nats.max(0.0) } else { 0.0 };
        let full = profile.births.iter().all(|birth| day_key(birth).is_some());
        let consistent = if full { 0.0 } else { q.birth_consistent };
        let birth = q.birth_same_year.max(q.birth_near).max(q.birth_different).max(consistent);
        let gain = if_some(!profile.births.is_empty(), birth)
            + if_some(!profile.genders.is_empty(), q.gender_same.max(q.gender_different))
            + if_some(!profile.countries.is_empty(), q.country_same.max(q.country_different))
            + if_some(!profile.places.is_empty(), q.place_same)
            + if_some(!profile.addresses.is_empty(), q.address_same)
            + if_some(!profile.identifiers.is_empty(), q.number_different.max(q.unique_different))
            + q.weak_alias.max(q.former_name).max(0.0);
        gain.min(QUALIFIERS_MAX_NATS)
    }

    /// What the qualifiers of an entity add at most.
    fn gain(&self, entity: u32) -> f64 {
        let (q, profile, view) = (&self.policy.qualifiers, self.profile, &self.view);
        let flags = view.flags.get(entity as usize).copied().unwrap_or(0);
        let (mut added, mut taken) = (0.0, 0.0);
        let mut count = |nats: f64| if nats > 0.0 { added += nats } else { taken += nats };
        if !profile.births.is_empty() {
            let births: Vec<Birth> = self.births(entity);
            if let Some((found, _, _)) = dates::compare(&profile.births, &births) {
                count(q.birth(found).1);
            }
        }
        let gender = |name: &str| match name {
            "male" => flag::MALE,
            _ => flag::FEMALE,
        };
        if flags & (flag::MALE | flag::FEMALE) != 0 && !profile.genders.is_empty() {
            let same = profile.genders.iter().any(|name| flags & gender(name) != 0);
            count(if same { q.gender_same } else { q.gender_different });
        }
        let countries = view.countries.get(entity as usize);
        if !countries.is_empty() && !profile.countries.is_empty() {
            let same = profile.countries.iter().any(|code| countries.contains(code));
            count(if same { q.country_same } else { q.country_different });
        }
        if flags & flag::PLACE != 0 && !profile.places.is_empty() {
            count(q.place_same.max(0.0));
        }
        if flags & flag::ADDRESS != 0 && !profile.addresses.is_empty() {
            count(q.address_same.max(0.0));
        }
        if !profile.identifiers.is_empty() {
            count(q.number_different.max(q.unique_different).max(0.0));
        }
        // Whether the best of its names is a weak one is not known yet.
        count(q.weak_alias.max(q.former_name).max(0.0));
        added.min(QUALIFIERS_MAX_NATS) + taken
    }

    fn births(&self, entity: u32) -> Vec<Birth> {
        let births = self.view.births.get(entity as usize).iter();
        births.map(|[first, last]| unpack_birth([first.get(), last.get()])).collect()
    }

    /// Those whose birth is so near that it adds more than the same year, and what all qualifiers add.
    fn born_alike(&self) -> Vec<(u32, f64)> {
        let mut keys = vec![year_key(0)];
        for birth in self.profile.births.iter().filter(|birth| day_key(birth).is_some()) {
            keys.push(year_key(birth.first.year));
            keys.extend(slips(birth.first).into_iter().map(full_key));
        }
        if keys.len() == 1 {
            return Vec::new();
        }
        keys.sort_unstable();
        keys.dedup();
        let entities = keys.into_iter().flat_map(|key| self.view.day_hashes.get(key));
        let mut entities: Vec<u32> = entities.map(|entity| entity.get()).collect();
        entities.sort_unstable();
        entities.dedup();
        entities.retain(|entity| self.fits(*entity));
        let gain = |entity: u32| {
            let found = dates::compare(&self.profile.births, &self.births(entity))?.0;
            (found < DateMatch::SameYear).then(|| (entity, self.gain(entity)))
        };
        entities.into_iter().filter_map(gain).collect()
    }

    /// Compares a name that has a key in common. One whose parts do not make it `likely` is left unless both stand
    /// together in another way.
    fn compare(&mut self, alias: &Alias, name: u32, likely: bool, all: &mut FxHashMap<u32, f64>) {
        let view = self.view;
        let tag = view.name_tags.get(name as usize).copied().unwrap_or(0);
        let (subject, _) = unpack_name(tag);
        if subject != self.subject || !self.fits(at(view.name_entities, name)) {
            return;
        }
        let mut parts = Vec::new();
        for number in view.names.get(name as usize) {
            parts.push(self.parts.get(&view, number.get()).clone());
        }
        let theirs = Name::of_parts(parts, subject);
        if likely || stand_together(&alias.name, &theirs) {
            let raw = compare(&alias.name, &theirs, &self.policy.names).raw;
            self.keep(name, raw, all);
        }
    }

    /// Keeps the entity of a name that is so near by its parts. What Chinese syllables say is only seen where whole
    /// names are compared.
    fn weighed(&mut self, alias: &Alias, name: u32, raw: f64, all: &mut FxHashMap<u32, f64>) {
        if alias.name.is_chinese() {
            self.compare(alias, name, true, all);
        } else {
            self.keep(name, raw, all);
        }
    }

    /// Keeps the entity of a name that is so near, if that may reach the least score.
    fn keep(&self, name: u32, raw: f64, all: &mut FxHashMap<u32, f64>) {
        let entity = at(self.view.name_entities, name);
        if !self.fits(entity) {
            return;
        }
        let most = nats(raw) + self.gain(entity);
        if most >= self.needed {
            let most = (1.0 / (1.0 + (-most).exp())).sqrt() + 0.000_06;
            let kept = all.entry(entity).or_insert(0.0);
            *kept = kept.max(most);
        }
    }
}
