"""Natural text from tokens: on the translations of MNLI, and back and forth on XNLI's sentences."""

from __future__ import annotations

import pytest
from sacremoses import MosesDetokenizer, MosesTokenizer

from xstilts.data.natural import detokenise, natural
from xstilts.data.sources import Folders, load_rows
from xstilts.tasks import lookup

THIRD = {
    "en": "How do you know? All this is their information again.",
    "de": "- woher weißt du das? All das sind ihre Informationen.",
    "ar": "وكيف تعرف ذلك? كل هذا هو معلوماتهم مرة اخرى.",
    "zh": "你怎么知道的?所有这些都是他们的信息.",
    "th": "รุ้ได้ไงทั้งหมดนี้คือข้อมูลของพวกเขาอีกครั้ง",
    "hi": "आप कैसे जानते हैं? ये सब उनकी जानकारी फिर से है।",
    "ur": "تمہیں جگہ کا کیسے پتہ چلا یہ ان کی معلومات ہے۔",
    "fr": "Qu'est-ce que tu en sais ? Tout ceci est à nouveau leur information.",
}
"""The last premise of the records, as it is written."""


@pytest.mark.parametrize("language", THIRD)
def test_translated_records_become_natural(records: Folders, language: str) -> None:
    task = lookup("mnli").variant(translated=True, where=None)
    rows = load_rows(records, task, "train", language)
    assert rows["premise"][3] != THIRD[language], "the files have tokens"
    after = natural(rows, "detokenise", language)
    assert after["premise"][3] == THIRD[language]
    assert after["label"] == rows["label"] and list(after) == list(rows)
    assert all(" ." not in text for name in ("premise", "hypothesis") for text in after[name])


@pytest.mark.parametrize(
    ("language", "tokens", "text"),
    [
        # Numbers and Latin words stand close to Chinese, but not to each other.
        (
            "zh",
            '他 在 1990 年 说 : " 我 是 John Smith , 你 呢 ? "',
            '他在1990年说:"我是John Smith,你呢?"',
        ),
        ("zh", "“ 好 ” ， 他 （ 小 王 ） 说 。", "“好”，他（小王）说。"),
        # A blank of the text is a token, so that three stand there.
        ("th", "ผู้ชาย จาก   triple   a   แล้ว ไป", "ผู้ชายจาก triple a แล้วไป"),
        ("th", "ฉัน ไป   กรุงเทพ   ( เมือง ใหญ่ ) ๆ", "ฉันไป กรุงเทพ (เมืองใหญ่) ๆ"),
        ("ar", "نعم ، لماذا ؟ قال : « لا » ؛ ثم ذهب .", "نعم، لماذا؟ قال: «لا»؛ ثم ذهب."),
        (
            "de",
            'Kennedy \' s Büro ( um 6 : 30 ) ist " zu " !',
            'Kennedy\'s Büro (um 6:30) ist "zu"!',
        ),
        # A vowel's sign, the virama and the nukta belong to letters.
        ("hi", "बड ़ ी सूक ् ष ् मता से क ् या ।", "बड़ी सूक्ष्मता से क्या।"),
        ("tr", "Washington ' da , 1910 ’ da 've ' böyle .", "Washington'da, 1910’da 've 'böyle."),
        ("sw", "ya ng ' ombe .", "ya ng'ombe."),
        ("en", "He said , it 's they didn 't ( yet ) .", "He said, it's they didn't (yet)."),
    ],
)
def test_rules_of_the_languages(language: str, tokens: str, text: str) -> None:
    assert detokenise(tokens, language) == text


LEAST = {
    **dict.fromkeys(("bg", "de", "el", "en", "es", "fr", "ru", "sw", "tr", "vi", "zh"), 0.96),
    # The sentences' own blanks before marks, which natural text should not have.
    "ar": 0.8,
    "hi": 0.85,
    "ur": 0.85,
}


@pytest.mark.parametrize("language", LEAST)
def test_sentences_that_moses_parts_come_back(records: Folders, language: str) -> None:
    rows = load_rows(records, lookup("xnli"), "validation", language, 200)
    sentences = {" ".join(text.split()) for text in (*rows["premise"], *rows["hypothesis"])}
    moses, without_rules = MosesTokenizer(language), MosesDetokenizer(language)
    parted = {text: moses.tokenize(text, escape=False) for text in sentences}
    back = sum(detokenise(" ".join(tokens), language) == text for text, tokens in parted.items())
    assert back >= LEAST[language] * len(sentences)
    assert back >= sum(without_rules.detokenize(tokens) == text for text, tokens in parted.items())
