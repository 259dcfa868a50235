// The colours that were chosen, before anything is drawn; without a choice the system's.
// A classic script, since a module would come too late.
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    const choice = localStorage.getItem('theme');
    const known = choice === 'light' || choice === 'dark';
    document.documentElement.dataset.theme = known ? choice : dark.matches ? 'dark' : 'light';
  };
  dark.addEventListener('change', apply);
  addEventListener('theme-chosen', apply);
  apply();
})();
