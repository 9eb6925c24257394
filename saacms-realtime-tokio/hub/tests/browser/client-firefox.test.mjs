// Debian's Firefox. It is driven by WebDriver BiDi: Playwright knows only a Firefox that it has changed.

import { clientTests } from './helpers/client-tests.mjs';

clientTests('firefox');
