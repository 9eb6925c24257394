import { clientTests } from './helpers/client-tests.mjs';

clientTests('chrome');
