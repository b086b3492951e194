//! Well-known names across scripts, and their neighbours.

use portcullis_screening::Schema;

use crate::names;

#[test]
fn the_same_people_in_other_scripts_match() {
    for (latin, other) in [
        ("Vladimir Putin", "Владимир Владимирович Путин"),
        ("Volodymyr Zelensky", "Володимир Зеленський"),
        ("Alexis Tsipras", "Αλέξης Τσίπρας"),
        ("Ayman al-Zawahiri", "أيمن الظواهري"),
        ("Saddam Hussein", "صدام حسين"),
        ("Mahmoud Ahmadinejad", "محمود احمدی نژاد"),
        ("Yitzhak Rabin", "יצחק רבין"),
        ("Xi Jinping", "习近平"),
        ("Mao Tse-tung", "毛泽东"),
        ("Kim Jong Un", "김정은"),
        ("Park Geun-hye", "박근혜"),
        ("Yamamoto Taro", "ヤマモト タロウ"),
        ("Shinzo Abe", "安倍晋三"),
        ("Sasaki, Kenichi", "佐々木 健一"),
        ("Narendra Modi", "नरेन्द्र मोदी"),
        ("Thaksin Shinawatra", "ทักษิณ ชินวัตร"),
        ("Mikheil Saakashvili", "მიხეილ სააკაშვილი"),
        ("Nikol Pashinyan", "Նիկոլ Փաշինյան"),
    ] {
        let score = names(Schema::Person, latin, other);
        assert!(score >= 0.7, "{latin} / {other}: {score}");
    }
}

#[test]
fn other_people_in_other_scripts_do_not() {
    for (latin, other) in [
        ("Vladimir Putin", "Дмитрий Медведев"),
        ("Alexis Tsipras", "Κυριάκος Μητσοτάκης"),
        ("Saddam Hussein", "أيمن الظواهري"),
        ("Xi Jinping", "毛泽东"),
        ("Kim Jong Un", "박근혜"),
        ("Narendra Modi", "राहुल गांधी"),
        ("Thaksin Shinawatra", "ประยุทธ์ จันทร์โอชา"),
    ] {
        let score = names(Schema::Person, latin, other);
        assert!(score < 0.7, "{latin} / {other}: {score}");
    }
}

#[test]
fn legal_forms_and_common_words_meet_across_countries() {
    for (left, right) in [
        ("ООО Ромашка", "Romashka LLC"),
        ("Volkswagen AG", "Volkswagen Aktiengesellschaft"),
        ("Acme Ltd.", "ACME Limited"),
        ("Banco Central de Venezuela", "Central Bank of Venezuela"),
        ("Islamic Republic of Iran Shipping Lines", "IRISL"),
        ("Smith & Sons", "Smith and Sons Ltd"),
    ] {
        let score = names(Schema::Company, left, right);
        assert!(score >= 0.7, "{left} / {right}: {score}");
    }
}

#[test]
fn numbers_and_telling_words_part_organisations_and_ships() {
    for (schema, left, right) in [
        (Schema::Vessel, "Ocean Star 1", "Ocean Star 2"),
        (Schema::Vessel, "Adrian Darya 1", "Adrian Darya 4"),
        (Schema::Company, "Alpha Trading LLC", "Omega Trading LLC"),
        (Schema::Company, "Shell Company 13 Ltd", "Shell Company 31 Ltd"),
    ] {
        let score = names(schema, left, right);
        assert!(score < 0.7, "{left} / {right}: {score}");
    }
}
