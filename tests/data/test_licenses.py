"""Licences: whole texts, texts that look like a permissive one and are not, which files offer a choice."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import History, quietly

from gapo_trainer.data.mining.license_texts import license_of
from gapo_trainer.data.mining.licenses import PERMISSIVE, is_allowed, license_doubt
from gapo_trainer.data.mining.miner import Options, mine

DEBIAN = Path("/usr/share/common-licenses")

MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software, to deal in it "
    "without restriction.\nThe above copyright notice and this permission notice shall be included in all copies."
)
APACHE = "Apache License\nVersion 2.0, January 2004\nTERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"
APACHE_NOTICE = (
    'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance '
    "with the License."
)
GPL_2 = (
    "GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991\n c) ... (This alternative is allowed only for noncommercial "
    "distribution and only if you received the program in object code)"
)
GPL_3 = (
    "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n This alternative is allowed only occasionally and\n"
    "noncommercially, and only if you received the object code with such an offer"
)
LGPL_2 = (
    "GNU LIBRARY GENERAL PUBLIC LICENSE\n Version 2, June 1991\n ... apply the terms of the ordinary GNU General "
    "Public License version 2, instead of this License."
)
FORMS = "Redistribution and use in source and binary forms, with or without modification, are permitted provided that "
ENDORSE = "The name may not be used to endorse or promote products derived from this software. "
BERKELEY = (  # of before 1990
    "Redistribution and use in source and binary forms are permitted provided that the above copyright notice and this "
    "paragraph are duplicated in all such forms and that any documentation, advertising materials, and other materials "
    "related to such distribution and use acknowledge that the software was developed by the University. " + ENDORSE
)
FONT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of the Font Software ...\n"
    "Neither the Font Software nor any of its components may be sold by itself."
)
NOTICE = "provided that the above copyright notice and this permission notice appear in all copies."
ISC = "Permission to use, copy, modify, and distribute this software for any purpose is hereby granted, " + NOTICE
CURL = ISC + (
    "\n\nExcept as contained in this notice, the name of a copyright holder shall not\nbe used in advertising or "
    "otherwise to promote the sale, use or other dealings\nin this Software."
)
ADVERTISING = (
    "All advertising materials mentioning features or use of this software must display the following acknowledgement: "
    "This product includes software developed by {}. "
)
BERKELEYS = FORMS + ADVERTISING.format("the University of California, Berkeley and its contributors") + ENDORSE
PARTS = "Files: *\nCopyright: 2026 A\nLicense: BSD-3-Clause\n\nFile: b.py\nLicense: MIT\n\n" + "c.py\n" * 400
BLUE_OAK = (
    "# Blue Oak Model License\n\nVersion 1.0.0\n\nThis license gives everyone as much permission to work with\nthis "
    "software as possible, while protecting contributors\nfrom liability."
)
BUNDLED = "x " * 1000 + "\nbundled: all advertising materials mentioning features ... the complete source code"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MIT, "MIT"),
        (GPL_2, "GPL-2.0"),
        (GPL_3, "GPL-3.0"),
        (LGPL_2, "LGPL-2.0"),
        ("You may copy it, either commercially or noncommercially.\n" + GPL_2, "GPL-2.0"),
        ("for commercial and non-commercial use.\n" + MIT, "MIT"),
        ("Only for noncommercial purposes.\n" + GPL_2, "NOASSERTION"),
        ("Commons Clause\n" + GPL_3, "NOASSERTION"),
        ("SPDX-License-Identifier: MIT\nCommons Clause", "NOASSERTION"),
        ("SPDX-License-Identifier: MIT\n", "MIT"),
        ("<!-- SPDX-FileCopyrightText: 2026 A\nCopyright (c) 2026 A\nSPDX-License-Identifier: GPL-3.0-or-later -->",
         "GPL-3.0"),
        ("SPDX-License-Identifier: MIT\nSPDX-License-Identifier: GPL-3.0-only\n", "NOASSERTION"),
        ("SPDX-License-Identifier: MIT AND GPL-3.0-only\n", "NOASSERTION"),
        ("SPDX-License-Identifier: MIT except for employees\n", "NOASSERTION"),
        ("<!-- SPDX-License-Identifier: -->\n", "NOASSERTION"),
        ("SPDX-License-Identifier: GPL-3.0-only\n" + GPL_3, "GPL-3.0"),
        ("SPDX-License-Identifier: GPL-3.0-only\nAnd of others: " + MIT, "NOASSERTION"),
        (GPL_3 + "\nAs this:\n// SPDX-License-Identifier: MIT\n", "GPL-3.0"),
        ("Files which start with\n SPDX-License-Identifier: MIT\nare under the MIT licence; nothing else is.",
         "NOASSERTION"),
        (APACHE, "Apache-2.0"),
        (APACHE_NOTICE, "Apache-2.0"),
        ("It contains parts under the Apache License, Version 2.0.", "NOASSERTION"),
        ("It contains parts under the Boost Software License, Version 1.0.", "NOASSERTION"),
        ("It contains parts under CC0 1.0 Universal.", "NOASSERTION"),
        ("It contains parts under the Python Software Foundation License Version 2.", "NOASSERTION"),
        ("This software is proprietary. Parts of others: " + MIT, "NOASSERTION"),
        ("our own terms " * 200 + MIT, "NOASSERTION"),
        ("A. HISTORY OF THE SOFTWARE\n" + "y " * 1200 + "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\nPSF is making "
         "Python available", "Python-2.0"),
        ("You may not use this for anything. Parts of others: " + MIT, "NOASSERTION"),
        (MIT + "\nIt may not be used to train machine learning models.", "NOASSERTION"),
        (MIT + "\nThis licence does not apply to employees of ACME.", "NOASSERTION"),
        (MIT + "\nExcept employees of ACME, who may not use it.", "NOASSERTION"),
        (MIT + "\nYou agree not to use the Model for military use.", "NOASSERTION"),
        (MIT + "\nYou cannot sell it.", "NOASSERTION"),
        (MIT + "\nIt may only be used in schools.", "NOASSERTION"),
        (MIT + "\nIts name shall not be used in advertising or otherwise to promote the sale of anything.", "MIT"),
        (MIT + "\nThe Software shall be used for Good, not Evil.", "NOASSERTION"),
        (MIT + "\nCommercial use is prohibited.", "NOASSERTION"),
        ("Elastic License 2.0 ... parts under the " + APACHE, "NOASSERTION"),
        (FORMS + ENDORSE, "BSD-3-Clause"),
        (FORMS, "BSD-2-Clause"),
        (FORMS + ENDORSE + BUNDLED, "BSD-3-Clause"),
        (BERKELEY, "NOASSERTION"),
        (BERKELEY + "x " * 1000 + "bundled: " + MIT, "NOASSERTION"),
        (FORMS + "Products derived from this software may not be called X. " + ENDORSE, "NOASSERTION"),
        (FORMS + "redistributions come with information on how to get the complete source code", "NOASSERTION"),
        (FORMS + "all advertising materials mentioning features of it must say so", "BSD-4-Clause"),
        (FONT, "NOASSERTION"),
        (ISC, "ISC"),
        (CURL, "curl"),
        (BERKELEYS, "BSD-4-Clause-UC"),
        (FORMS + ADVERTISING.format("ACME") + ENDORSE, "BSD-4-Clause"),
        (BLUE_OAK, "BlueOak-1.0.0"),
        ("It contains parts under the Blue Oak Model License, Version 1.0.0.", "NOASSERTION"),
        (f"{PARTS}\nLicense: BSD-3-Clause\n\n{FORMS}{ENDORSE}\nLicense: MIT\n\n{MIT}", "BSD-3-Clause AND MIT"),
        (f"{PARTS}\nLicense: BSD-3-Clause\n\n{FORMS}{ENDORSE}", "NOASSERTION"),
        (f"{PARTS}\nLicense: MIT\n\n{MIT}\nLicense: BSD-3-Clause\n\n{GPL_3}", "NOASSERTION"),
        (f"{PARTS}\nLicense: GPL-3\n\nLicense: BSD-3-Clause\n\n{FORMS}{ENDORSE}\nLicense: MIT\n\n{MIT}",
         "NOASSERTION"),
        ("Permission is hereby granted, free of charge, to any person obtaining a copy of this software, and to permit "
         "persons to whom the Software is furnished to do so.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\"", "MIT-0"),
        ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is "
         "hereby granted.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\"", "0BSD"),
    ],
)  # fmt: skip
def test_a_text_is_what_its_wording_says(text, expected):
    assert license_of(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Apache-2.0", "Apache-2.0"), ("BSD", "BSD-3-Clause"), ("CC0-1.0", "CC0-1.0"), ("GPL-1", "GPL-1.0"),
     ("GPL-2", "GPL-2.0"), ("GPL-3", "GPL-3.0"), ("LGPL-2", "LGPL-2.0"), ("LGPL-2.1", "LGPL-2.1"),
     ("LGPL-3", "LGPL-3.0"), ("MPL-1.1", "MPL-1.1"), ("MPL-2.0", "MPL-2.0"), ("Artistic", "NOASSERTION"),
     ("GFDL-1.3", "NOASSERTION")],
)  # fmt: skip
def test_whole_texts(name, expected):
    if not (DEBIAN / name).exists():
        pytest.skip(f"{DEBIAN / name} is not here: only Debian has it")
    assert license_of((DEBIAN / name).read_text(errors="replace")) == expected


def license_and_fault(tmp_path, files, links=None):
    history = History(tmp_path / "one")
    for name, text in files.items():
        history.put(name, text)
    for name, target in (links or {}).items():
        (history.folder / name).symlink_to(target)
    history.commit()
    (summary,) = mine([history.folder], tmp_path / "out.jsonl", Options(licenses=PERMISSIVE), quietly)
    return summary.license, summary.fault


@pytest.mark.parametrize(
    ("files", "expected", "allowed"),
    [
        ({"LICENSE-ours": GPL_3, "third-party-license.txt": MIT}, "GPL-3.0 AND MIT", False),
        ({"LICENSE": GPL_3, "LICENSE-3rdparty": MIT}, "GPL-3.0 AND MIT", False),
        ({"LICENSE-ours": "all mine", "mit-license.txt": MIT}, "MIT AND NOASSERTION", False),
        ({"LICENSE-MIT.txt": MIT, "LICENSE-GPL3": GPL_3}, "GPL-3.0 OR MIT", True),
        ({"LICENSE-APACHE-2.0": APACHE, "LICENSE.BSD-2-Clause.md": FORMS}, "Apache-2.0 OR BSD-2-Clause", True),
        ({"MIT-LICENSE": MIT, "GPL-LICENSE.txt": GPL_2}, "GPL-2.0 OR MIT", True),
        ({"LICENSE-LGPL": LGPL_2, "LICENSE-docs": MIT}, "LGPL-2.0 AND MIT", False),
        ({"LICENSE-MIT": MIT, "LICENSE-APACHE": "lost"}, "MIT OR NOASSERTION", True),
    ],
)  # fmt: skip
def test_only_names_of_licences_offer_a_choice(tmp_path, files, expected, allowed):
    found, fault = license_and_fault(tmp_path, files)
    assert found == expected
    assert (fault == "") == allowed


RUST = "Licensed under either of Apache License, Version 2.0 (LICENSE-APACHE) or MIT license at your option."


@pytest.mark.parametrize(
    ("files", "expected", "allowed"),
    [
        ({"LICENSE": RUST, "LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}, "Apache-2.0 OR MIT", True),
        ({"LICENSE": RUST + " Not for commercial use.", "LICENSE-MIT": MIT}, "MIT AND NOASSERTION", False),
        ({"LICENSE": "Under either version 2 or 3 of our license.", "LICENSE-MIT": MIT}, "MIT AND NOASSERTION", False),
        ({"LICENSE": "Under either a commercial license or this:", "LICENSE-MIT": MIT}, "MIT AND NOASSERTION", False),
    ],
)
def test_a_text_that_names_the_choice_offers_it(tmp_path, files, expected, allowed):
    found, fault = license_and_fault(tmp_path, files)
    assert found == expected
    assert (fault == "") == allowed


BLANKS = "YEAR: 2026\nCOPYRIGHT HOLDER: A and others\n"


@pytest.mark.parametrize(
    ("files", "expected", "allowed"),
    [
        ({"LICENSE": BLANKS, "DESCRIPTION": "Package: a\nLicense: MIT + file LICENSE\nURL: b\n"}, "MIT", True),
        ({"LICENSE": BLANKS + "ORGANIZATION: B\n", "DESCRIPTION": "License: BSD_3_clause + file LICENSE"},
         "BSD-3-Clause", True),
        ({"LICENSE": BLANKS, "LICENSE.md": MIT, "DESCRIPTION": "License: MIT + file LICENSE\r\n"}, "MIT", True),
        ({"LICENSE": BLANKS, "LICENSE.note": "all mine", "DESCRIPTION": "License: MIT + file LICENSE"},
         "MIT AND NOASSERTION", False),
        ({"LICENSE": BLANKS + "Not for sale.", "DESCRIPTION": "License: MIT + file LICENSE"}, "NOASSERTION", False),
        ({"LICENSE": "all mine", "DESCRIPTION": "License: MIT + file LICENSE"}, "NOASSERTION", False),
        ({"LICENSE": BLANKS, "DESCRIPTION": "License: MIT + file LICENSE\n | GPL-3\n"}, "NOASSERTION", False),
        ({"LICENSE": BLANKS, "DESCRIPTION": "License: GPL-3 | MIT + file LICENSE"}, "NOASSERTION", False),
        ({"LICENSE": BLANKS}, "NOASSERTION", False),
    ],
)  # fmt: skip
def test_an_r_packages_licence_is_the_one_it_fills_in(tmp_path, files, expected, allowed):
    found, fault = license_and_fault(tmp_path, files)
    assert found == expected
    assert (fault == "") == allowed


def test_all_parts_licences_must_be_allowed(tmp_path):
    listed = f"{PARTS}\nLicense: BSD-3-Clause\n\n{FORMS}{ENDORSE}\nLicense: MIT\n\n{MIT}"
    assert license_and_fault(tmp_path / "both", {"LICENSE": listed}) == ("BSD-3-Clause AND MIT", "")
    assert is_allowed("BSD-3-Clause AND GPL-3.0 OR MIT", ["MIT"])
    assert not is_allowed("BSD-3-Clause AND GPL-3.0 OR MIT", ["BSD-3-Clause"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("LICENSE.md", "license.html", "COPYING.rst", "LICENCE.TXT"), "MIT"),
        (("COPYING3",), "MIT"),
        (("copyingv2.txt",), "MIT"),
        (("license_test.go", "license-checker.py", "license.js", "LICENSE.go", "mit-license.rs"), "NONE"),
        (("COPYINGS",), "NONE"),
    ],
)
def test_which_files_are_read(tmp_path, names, expected):
    assert license_and_fault(tmp_path, dict.fromkeys(names, MIT))[0] == expected


def test_a_name_of_many_digits_is_read_in_time(tmp_path):
    assert license_and_fault(tmp_path, {f"LICENSE-MIT-{'1' * 60}x": MIT})[0] == "MIT"


@pytest.mark.parametrize(
    ("target", "expected"),
    [("doc/legal/MIT.txt", "MIT"), ("./doc/../doc/legal/MIT.txt", "MIT"), ("doc/again", "MIT"), ("doc", "NOASSERTION"),
     ("absent", "NOASSERTION"), ("../one/doc/legal/MIT.txt", "NOASSERTION"), ("/etc/passwd", "NOASSERTION"),
     ("LICENSE", "NOASSERTION")],
)  # fmt: skip
def test_links_are_followed_within_the_repository(tmp_path, target, expected):
    links = {"LICENSE": target, "doc/again": "legal/MIT.txt"}
    assert license_and_fault(tmp_path, {"doc/legal/MIT.txt": MIT}, links)[0] == expected


@pytest.mark.parametrize(
    ("spdx", "doubt"),
    [("MIT", ""), ("NOASSERTION", ""), ("NONE", ""), ("mit", "no text is recognised as 'mit', did you mean MIT?"),
     ("Apache2.0", "no text is recognised as 'Apache2.0', did you mean Apache-2.0?"),
     ("WTFPL-or-so", "no text is recognised as 'WTFPL-or-so'")],
)  # fmt: skip
def test_identifiers_that_no_text_has(spdx, doubt):
    assert license_doubt(spdx) == doubt
